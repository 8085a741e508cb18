/** Fraction bits of the fixed-point numbers below; a float64 has 53 bits. */
const fractionBits = 160n;
const one = 1n << fractionBits;

/** 2 atanh(numerator / denominator) in fixed point; the ratio is at most 1/3. */
const doubleAtanh = (numerator: bigint, denominator: bigint): bigint => {
  const ratio = (numerator * one) / denominator;
  const square = (ratio * ratio) / one;
  let power = ratio;
  let sum = 0n;
  for (let odd = 1n; power !== 0n; odd += 2n) {
    sum += power / odd;
    power = (power * square) / one;
  }
  return 2n * sum;
};

const ln2 = doubleAtanh(1n, 3n);

/**
 * The natural logarithm of a normal float64 above 0, correctly rounded.
 *
 * `Math.log` may be wrong in the last bit, in another way in every JavaScript engine. Where two
 * candidates tie on paper that bit decides, and then a plan would depend on the browser.
 */
export const exactLog = (value: number): number => {
  // value = mantissa * 2^exponent, with mantissa / 2^52 between 1 and 2.
  const bits = new BigUint64Array(new Float64Array([value]).buffer)[0];
  const exponent = (bits >> 52n) - 1023n;
  const mantissa = (bits & ((1n << 52n) - 1n)) | (1n << 52n);
  const unit = 1n << 52n;
  const fixed = exponent * ln2 + doubleAtanh(mantissa - unit, mantissa + unit);
  return Number(fixed) / 2 ** Number(fractionBits);
};
