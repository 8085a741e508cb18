import { type FileHandle, open } from "node:fs/promises";
import { SafetensorsError } from "../errors.js";
import type { StoredTensor } from "../weights/folder-files.js";
import { type BrokenTensor, countNonFinite, floatBytes } from "./non-finite.js";

export type { BrokenTensor };

type NamedTensor = readonly [name: string, tensor: StoredTensor];

/** Tensors by the file they lie in, so that each file is opened once. */
export const groupByFile = (
  tensors: ReadonlyMap<string, StoredTensor>,
): Map<string, NamedTensor[]> => {
  const groups = new Map<string, NamedTensor[]>();
  for (const named of tensors) {
    const { file } = named[1];
    const group = groups.get(file);
    if (group) group.push(named);
    else groups.set(file, [named]);
  }
  return groups;
};

const chunkBytes = 1 << 23;

const scanTensor = async (
  file: FileHandle,
  name: string,
  { file: path, entry }: StoredTensor,
  chunk: ArrayBuffer,
): Promise<BrokenTensor> => {
  const counts = { name, nan: 0, infinite: 0 };
  const wordBytes = floatBytes(entry.dtype);
  if (wordBytes === 0) return counts;
  for (let done = 0; done < entry.byteLength; ) {
    const length = Math.min(chunkBytes, entry.byteLength - done);
    const { bytesRead } = await file.read(
      new Uint8Array(chunk),
      0,
      length,
      entry.byteOffset + done,
    );
    const whole = bytesRead - (bytesRead % wordBytes);
    if (whole === 0) {
      throw new SafetensorsError(
        `findBrokenTensors: ${path} must hold the ${entry.byteLength} bytes of "${name}", got ${done}; the file was cut while it was read`,
      );
    }
    const found = countNonFinite(entry.dtype, chunk, whole);
    counts.nan += found.nan;
    counts.infinite += found.infinite;
    done += whole;
  }
  return counts;
};

/**
 * Looks for NaN and infinity in every floating-point tensor, in 8 MiB of memory. Returns the tensors
 * that hold any. Throws `SafetensorsError` for a file that is cut while it is read.
 */
export const findBrokenTensors = async (
  tensors: ReadonlyMap<string, StoredTensor>,
  {
    signal,
    onProgress,
    atMost = Number.POSITIVE_INFINITY,
  }: {
    readonly signal?: AbortSignal;
    readonly onProgress?: (done: number, total: number) => void;
    /** Stop after so many broken tensors. */
    readonly atMost?: number;
  } = {},
): Promise<BrokenTensor[]> => {
  const broken: BrokenTensor[] = [];
  const chunk = new ArrayBuffer(chunkBytes);
  let done = 0;
  for (const [path, stored] of groupByFile(tensors)) {
    const file = await open(path, "r");
    try {
      for (const [name, tensor] of stored) {
        signal?.throwIfAborted();
        const counts = await scanTensor(file, name, tensor, chunk);
        if (counts.nan + counts.infinite > 0) broken.push(counts);
        onProgress?.(++done, tensors.size);
        if (broken.length >= atMost) return broken;
      }
    } finally {
      await file.close();
    }
  }
  return broken;
};
