import type { DType, TensorData } from "../tensor-data.js";
import type { StoredTensor } from "../weights/folder-files.js";

/** A tensor that holds NaN or infinity. */
export type BrokenTensor = NonFiniteCount & { readonly name: string };

export type NonFiniteCount = { readonly nan: number; readonly infinite: number };

/** How each type of floating-point number is laid out: all exponent bits set is NaN or infinity. */
const layouts = {
  float32: { words: Uint32Array, exponent: 0x7f800000, mantissa: 0x007fffff },
  float16: { words: Uint16Array, exponent: 0x7c00, mantissa: 0x03ff },
  bfloat16: { words: Uint16Array, exponent: 0x7f80, mantissa: 0x007f },
} as const;

const isFloat = (dtype: DType): dtype is keyof typeof layouts => Object.hasOwn(layouts, dtype);

/** Bytes of a floating-point number of this type; 0 for types that are none. */
export const floatBytes = (dtype: DType): number =>
  isFloat(dtype) ? layouts[dtype].words.BYTES_PER_ELEMENT : 0;

/**
 * NaN and infinity among the numbers in the first `byteLength` bytes of `buffer` (from `byteOffset`,
 * both whole numbers of elements); none for types without them.
 */
export const countNonFinite = (
  dtype: DType,
  buffer: ArrayBufferLike,
  byteLength: number,
  byteOffset = 0,
): NonFiniteCount => {
  let [nan, infinite] = [0, 0];
  if (!isFloat(dtype)) return { nan, infinite };
  const { words, exponent, mantissa } = layouts[dtype];
  for (const bits of new words(
    buffer as ArrayBuffer,
    byteOffset,
    byteLength / words.BYTES_PER_ELEMENT,
  )) {
    if ((bits & exponent) !== exponent) continue;
    if ((bits & mantissa) === 0) infinite += 1;
    else nan += 1;
  }
  return { nan, infinite };
};

/** Name of the first of these tensors that holds NaN or infinity; each is read as a whole. */
export const findNonFiniteTensor = async (
  tensors: ReadonlyMap<string, StoredTensor>,
  readTensor: (stored: StoredTensor) => Promise<TensorData>,
): Promise<string | undefined> => {
  for (const [name, stored] of tensors) {
    const { dtype, data } = await readTensor(stored);
    const { nan, infinite } = countNonFinite(dtype, data.buffer, data.byteLength, data.byteOffset);
    if (nan + infinite > 0) return name;
  }
  return undefined;
};
