/** Element types that saccade stores, feeds and fetches (safetensors spelling in `weights/`). */
export type DType = "float32" | "float16" | "bfloat16" | "int64" | "int32" | "uint8" | "bool";

/** The array that holds each element type: 16-bit floats as their raw bits, booleans as 0 or 1. */
export type DTypeArrays = {
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  uint8: Uint8Array;
  bool: Uint8Array;
};

/** An actual tensor: row-major elements with their shape. */
export type TensorData<D extends DType = DType> = {
  readonly [K in D]: {
    readonly dtype: K;
    readonly shape: readonly number[];
    readonly data: DTypeArrays[K];
  };
}[D];

/** Bytes per element. */
export const dtypeBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  uint8: 1,
  bool: 1,
};

/** Product of the sides of `shape`; 1 for a scalar. */
export const elementCount = (shape: readonly number[]): number =>
  shape.reduce((count, side) => count * side, 1);

export const float32 = (
  shape: readonly number[],
  data: ArrayLike<number>,
): TensorData<"float32"> => ({
  dtype: "float32",
  shape,
  data: data instanceof Float32Array ? data : Float32Array.from(data),
});

export const int64 = (shape: readonly number[], data: ArrayLike<number>): TensorData<"int64"> => ({
  dtype: "int64",
  shape,
  data: BigInt64Array.from(Array.from(data), BigInt),
});

export const bool = (
  shape: readonly number[],
  data: ArrayLike<boolean | number>,
): TensorData<"bool"> => ({
  dtype: "bool",
  shape,
  data: Uint8Array.from(Array.from(data), (value) => (value ? 1 : 0)),
});
