/** Random weights in a temporary file, mapped by the engine as a checkpoint's would be. */
import { randomFillSync } from "node:crypto";
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, parse, relative } from "node:path";
import type { ParameterSource } from "../src/graph/index.js";
import { elementCount } from "../src/tensor-data.js";

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

/** A temporary folder that goes when the process ends, also by an interruption. */
export const createTemporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "saccade-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  return folder;
};

export type RandomWeights = {
  /**
   * A source in which every parameter has bytes of its own, until the file is used up and its start
   * is used again. Parameters of equal `sharedName` have the same bytes. Weights of norms are ones.
   */
  source(sharedName?: (name: string) => string): ParameterSource;
};

/** Writes a file of at least `numBytes` random bytes (as float32) into a temporary folder. */
export const createRandomWeights = (numBytes: number): RandomWeights => {
  const path = join(createTemporaryFolder(), "weights.bin");
  const file = openSync(path, "w");
  const block = bytesOf(randomFloats(blockElements));
  let fileBytes = 0;
  while (fileBytes < numBytes) fileBytes += writeSync(file, block);
  fsyncSync(file); // writing back later would disturb what is measured
  closeSync(file);
  const location = relative(parse(path).root, path);

  return {
    source: (sharedName = (name) => name) => {
      const placed = new Map<string, number>();
      let next = 0;
      return (name, shape) => {
        const byteLength = 4 * elementCount(shape);
        if (shape.length === 1 && name.endsWith(".weight")) {
          const ones = new Float32Array(elementCount(shape)).fill(1);
          return { dtype: "float32", content: bytesOf(ones) };
        }
        const key = `${sharedName(name)} ${shape}`;
        let byteOffset = placed.get(key);
        if (byteOffset === undefined) {
          if (next + byteLength > fileBytes) next = 0;
          byteOffset = next;
          next += byteLength;
          placed.set(key, byteOffset);
        }
        return { dtype: "float32", content: { location, byteOffset, byteLength } };
      };
    },
  };
};
