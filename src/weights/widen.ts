/**
 * Conversions between 16-bit floats (as raw bits) and float32. Widening is exact; narrowing rounds to nearest, ties to
 * even (IEEE 754-2019 §4.3.1), overflows to infinity and keeps NaN a NaN.
 */
import { ShapeError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";

/** float32 bits of any half: also zero, subnormal, infinite and NaN ones. */
const widenHalf = (bits: number): number => {
  const sign = (bits & 0x8000) << 16;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent !== 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // A subnormal half is a normal float32: shift its leading one up to the hidden bit.
  const shift = Math.clz32(mantissa) - 21;
  return sign | ((113 - shift) << 23) | (((mantissa << shift) & 0x3ff) << 13);
};

/** float16 bits to float32, exactly. */
export const widenFloat16 = (bits: Uint16Array): Float32Array => {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i];
    const magnitude = half & 0x7fff;
    // Nearly all weights are normal numbers: move the fields and correct the exponent's bias.
    wide[i] =
      magnitude >= 0x400 && magnitude < 0x7c00
        ? ((half & 0x8000) << 16) | ((magnitude << 13) + 0x38000000)
        : widenHalf(half);
  }
  return new Float32Array(wide.buffer);
};

/** bfloat16 bits to float32, exactly. */
export const widenBfloat16 = (bits: Uint16Array): Float32Array => {
  const wide = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) wide[i] = bits[i] << 16;
  return new Float32Array(wide.buffer);
};

const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

/** float32 to bfloat16 bits, to nearest even. */
export const narrowToBfloat16 = (values: Float32Array): Uint16Array => {
  const wide = bitsOf(values);
  const narrow = new Uint16Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    const bits = wide[i];
    // A NaN must not round into infinity: keep its upper bits and set the quiet bit.
    narrow[i] =
      (bits & 0x7fffffff) > 0x7f800000
        ? (bits >>> 16) | 0x40
        : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
  }
  return narrow;
};

const narrowHalf = (bits: number): number => {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | ((magnitude >>> 13) & 0x3ff);
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  // Normal halves start at 2^-14; rounding may carry into the exponent, up to infinity, which is right.
  if (magnitude >= 0x38800000)
    return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  // Below half of the smallest subnormal (2^-25, tie included: to even) nothing is left.
  if (magnitude <= 0x33000000) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const shift = 126 - (magnitude >>> 23);
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const tie = 1 << (shift - 1);
  return sign | (kept + (rest > tie || (rest === tie && (kept & 1) === 1) ? 1 : 0));
};

/** float32 to float16 bits, to nearest even. */
export const narrowToFloat16 = (values: Float32Array): Uint16Array => {
  const wide = bitsOf(values);
  const narrow = new Uint16Array(wide.length);
  for (let i = 0; i < wide.length; i++) narrow[i] = narrowHalf(wide[i]);
  return narrow;
};

/**
 * Any floating-point tensor as float32; a float32 tensor is returned as it is.
 *
 * @throws ShapeError for integers and booleans.
 */
export const widenTensor = (tensor: TensorData): TensorData<"float32"> => {
  const { shape } = tensor;
  switch (tensor.dtype) {
    case "float32":
      return tensor;
    case "float16":
      return { dtype: "float32", shape, data: widenFloat16(tensor.data) };
    case "bfloat16":
      return { dtype: "float32", shape, data: widenBfloat16(tensor.data) };
    default:
      throw new ShapeError(
        `widenTensor: the tensor must hold floating-point numbers, got ${tensor.dtype}. Read integers and booleans as they are.`,
      );
  }
};
