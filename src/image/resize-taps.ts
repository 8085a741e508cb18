/**
 * The taps of Pillow's bicubic filter (`Resample.c`: `precompute_coeffs`, `normalize_coeffs_8bpc`),
 * along one side. Weights are integers with 22 fraction bits, so 8-bit results are Pillow's own.
 */
export type ResizeTaps = {
  /** First source index of each output, [outputs]. */
  readonly starts: Int32Array;
  /** Number of taps of each output, [outputs]. */
  readonly counts: Int32Array;
  /** Weights, [outputs, stride]; the first `counts[i]` of row i are used. */
  readonly weights: Int32Array;
  readonly stride: number;
};

export const fractionBits = 22;

/** Cubic convolution with a = -0.5, in Pillow's order of operations. */
const cubic = (distance: number): number => {
  const x = Math.abs(distance);
  const a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
};

/**
 * Taps for the outputs `from` to `from + count - 1` of a side resized from `inSize` to `outSize`.
 * Only those outputs cost memory, whatever `outSize` is.
 */
export const planTaps = (
  inSize: number,
  outSize: number,
  from: number,
  count: number,
): ResizeTaps => {
  const scale = inSize / outSize;
  const filterScale = Math.max(scale, 1);
  const support = 2 * filterScale;
  const stride = Math.min(inSize, Math.ceil(support) * 2 + 1);
  const starts = new Int32Array(count);
  const counts = new Int32Array(count);
  const weights = new Int32Array(count * stride);
  const real = new Float64Array(stride);
  const inverse = 1 / filterScale;
  for (let i = 0; i < count; i++) {
    const centre = (from + i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const numTaps = Math.min(inSize, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let tap = 0; tap < numTaps; tap++) {
      const weight = cubic((tap + start - centre + 0.5) * inverse);
      real[tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < numTaps; tap++) {
      const fixed = (real[tap] / sum) * 2 ** fractionBits;
      weights[i * stride + tap] = Math.trunc(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
    }
    starts[i] = start;
    counts[i] = numTaps;
  }
  return { starts, counts, weights, stride };
};
