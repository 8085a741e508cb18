/** Random weights in a file, mapped by the engine as a checkpoint's would be. */
import { randomFillSync } from "node:crypto";
import { open } from "node:fs/promises";
import { parse, relative, resolve } from "node:path";
import type { ParameterSource } from "../graph/index.js";
import { elementCount } from "../tensor-data.js";
import { writeFully } from "../weights/atomic-file.node.js";

/** Written again and again: larger than the caches of any processor this runs on. */
const blockElements = 1 << 25;

/** Uniform in ±0.03: a layer of 1024 to 11008 inputs then keeps the size of its activations. */
const bound = 0.03;

/** Random floats, quickly: 32 random bits each. */
export const randomFloats = (count: number, limit = bound): Float32Array => {
  const bits = new Int32Array(count);
  const slice = 1 << 26; // randomFillSync takes no more than 2 GiB
  for (let start = 0; start < count; start += slice) {
    randomFillSync(bits.subarray(start, Math.min(start + slice, count)));
  }
  // In place of the bits: `Float32Array.from` would make a JavaScript array of them first.
  const floats = new Float32Array(bits.buffer);
  for (let index = 0; index < count; index += 1) floats[index] = (bits[index] / 2 ** 31) * limit;
  return floats;
};

const bytesOf = (array: Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** A file of random float32 numbers; processes may share it. */
export type RandomWeightsFile = { readonly path: string; readonly numBytes: number };

/** Writes at least `numBytes` random bytes to `path`, and waits until they are on the disk. */
export const writeRandomWeights = async (
  path: string,
  numBytes: number,
): Promise<RandomWeightsFile> => {
  const block = bytesOf(randomFloats(Math.min(blockElements, Math.ceil(numBytes / 4))));
  const file = await open(path, "w");
  let written = 0;
  try {
    for (; written < numBytes; written += block.byteLength) await writeFully(file, block);
    await file.sync(); // writing back later would disturb what is measured
  } finally {
    await file.close();
  }
  return { path, numBytes: written };
};

/** Norms' weights are one-dimensional; they are ones, so that activations keep their size. */
const isNormWeight = (name: string, shape: readonly number[]): boolean =>
  shape.length === 1 && name.endsWith(".weight");

/**
 * A source in which every parameter has bytes of its own, until the file is used up and its start is
 * used again. Parameters of equal `sharedName` have the same bytes. Weights of norms are ones.
 */
export const randomParameters = (
  { path, numBytes }: RandomWeightsFile,
  sharedName: (name: string) => string = (name) => name,
): ParameterSource => {
  const absolute = resolve(path);
  const location = relative(parse(absolute).root, absolute);
  const placed = new Map<string, number>();
  let next = 0;
  return (name, shape) => {
    const byteLength = 4 * elementCount(shape);
    if (isNormWeight(name, shape)) {
      const ones = new Float32Array(elementCount(shape)).fill(1);
      return { dtype: "float32", content: bytesOf(ones) };
    }
    const key = `${sharedName(name)} ${shape}`;
    let byteOffset = placed.get(key);
    if (byteOffset === undefined) {
      if (next + byteLength > numBytes) next = 0;
      byteOffset = next;
      next += byteLength;
      placed.set(key, byteOffset);
    }
    return { dtype: "float32", content: { location, byteOffset, byteLength } };
  };
};

/** Bytes that `randomParameters` places when every parameter is asked for once. */
export const placedBytes = (
  parameters: ReadonlyMap<string, readonly number[]>,
  sharedName: (name: string) => string = (name) => name,
): number => {
  const sizes = new Map<string, number>();
  for (const [name, shape] of parameters) {
    if (!isNormWeight(name, shape))
      sizes.set(`${sharedName(name)} ${shape}`, 4 * elementCount(shape));
  }
  return [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
};

/**
 * The layers of the language model and of pre-fusion under one name: with the bytes of one layer, which
 * are far larger than any cache at published widths, a model takes the time of all of them and the
 * memory of one.
 */
export const sharedLayerName = (name: string): string =>
  name.replace(/^(language|prefusion)\.layers\.\d+\./, "layer.");
