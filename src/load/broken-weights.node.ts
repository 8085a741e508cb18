import { type FileHandle, open } from "node:fs/promises";
import { SafetensorsError } from "../errors.js";
import type { StoredTensor } from "../weights/folder-files.js";

/** A tensor that holds NaN or infinity. */
export type BrokenTensor = {
  readonly name: string;
  readonly nan: number;
  readonly infinite: number;
};

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

/** How each type of floating-point number is laid out: all exponent bits set is NaN or infinity. */
const layouts = {
  float32: { words: Uint32Array, exponent: 0x7f800000, mantissa: 0x007fffff },
  float16: { words: Uint16Array, exponent: 0x7c00, mantissa: 0x03ff },
  bfloat16: { words: Uint16Array, exponent: 0x7f80, mantissa: 0x007f },
} as const;

const isFloat = (dtype: string): dtype is keyof typeof layouts => Object.hasOwn(layouts, dtype);

const scanTensor = async (
  file: FileHandle,
  name: string,
  { file: path, entry }: StoredTensor,
  chunk: ArrayBuffer,
): Promise<BrokenTensor> => {
  const counts = { name, nan: 0, infinite: 0 };
  if (!isFloat(entry.dtype)) return counts;
  const { words, exponent, mantissa } = layouts[entry.dtype];
  for (let done = 0; done < entry.byteLength; ) {
    const length = Math.min(chunkBytes, entry.byteLength - done);
    const { bytesRead } = await file.read(
      new Uint8Array(chunk),
      0,
      length,
      entry.byteOffset + done,
    );
    const whole = bytesRead - (bytesRead % words.BYTES_PER_ELEMENT);
    if (whole === 0) {
      throw new SafetensorsError(
        `findBrokenTensors: ${path} must hold the ${entry.byteLength} bytes of "${name}", got ${done}; the file was cut while it was read`,
      );
    }
    for (const bits of new words(chunk, 0, whole / words.BYTES_PER_ELEMENT)) {
      if ((bits & exponent) !== exponent) continue;
      if ((bits & mantissa) === 0) counts.infinite += 1;
      else counts.nan += 1;
    }
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
