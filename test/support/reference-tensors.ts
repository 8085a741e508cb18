/**
 * Slow and plain tensors in double precision: what operators are compared with. Every function
 * follows its definition, one element at a time.
 */
import { expect } from "vitest";
import { elementCount, type TensorData } from "../../src/tensor-data.js";

export type Reference = { readonly shape: readonly number[]; readonly data: readonly number[] };

export const reference = ({ shape, data }: TensorData): Reference => ({
  shape,
  data: Array.from(data, Number),
});

/** Calls `element` with every index of `shape` in row-major order. */
export const build = (
  shape: readonly number[],
  element: (index: readonly number[]) => number,
): Reference => ({
  shape,
  data: Array.from({ length: elementCount(shape) }, (_, flat) => {
    const index: number[] = [];
    let rest = flat;
    for (const side of [...shape].reverse()) {
      index.unshift(rest % side);
      rest = Math.floor(rest / side);
    }
    return element(index);
  }),
});

/** The element at `index`; sides of 1 repeat, and leading sides that the tensor lacks are left out. */
export const at = ({ shape, data }: Reference, index: readonly number[]): number => {
  const own = index.slice(index.length - shape.length);
  return data[shape.reduce((flat, side, axis) => flat * side + (side === 1 ? 0 : own[axis]), 0)];
};

/** Elementwise, with broadcasting. */
export const elementwise = (
  shape: readonly number[],
  compute: (...values: number[]) => number,
  ...inputs: readonly Reference[]
): Reference => build(shape, (index) => compute(...inputs.map((input) => at(input, index))));

export const sumOf = (count: number, term: (place: number) => number): number => {
  let sum = 0;
  for (let place = 0; place < count; place += 1) sum += term(place);
  return sum;
};

export type AttentionSettings = {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly scale: number;
  /** Query t sees the first `visible(b, t)` keys. */
  readonly visible?: (sample: number, query: number) => number;
  readonly bias?: Reference;
};

/** Attention by its definition; query [B, T, H·E], key and value [B, S, K·E]. */
export const referenceAttention = (
  query: Reference,
  key: Reference,
  value: Reference,
  { numHeads, numKeyValueHeads, scale, visible, bias }: AttentionSettings,
): Reference => {
  const width = query.shape[2] / numHeads;
  const numKeys = key.shape[1];
  const group = numHeads / numKeyValueHeads;
  const weights = new Map<string, number[]>();
  const weightsOf = (b: number, t: number, head: number): number[] => {
    const name = `${b} ${t} ${head}`;
    const known = weights.get(name);
    if (known !== undefined) return known;
    const keyHead = Math.floor(head / group);
    const count = Math.min(visible?.(b, t) ?? numKeys, numKeys);
    const scores = Array.from({ length: count }, (_, s) => {
      const product = sumOf(
        width,
        (e) => at(query, [b, t, head * width + e]) * at(key, [b, s, keyHead * width + e]),
      );
      return scale * product + (bias === undefined ? 0 : at(bias, [b, head, t, s]));
    });
    const top = Math.max(...scores);
    const exponentials = scores.map((score) => Math.exp(score - top));
    const total = exponentials.reduce((sum, term) => sum + term, 0);
    const normalised = exponentials.map((term) => term / total);
    weights.set(name, normalised);
    return normalised;
  };
  return build(query.shape, ([b, t, column]) => {
    const head = Math.floor(column / width);
    const keyHead = Math.floor(head / group);
    const row = weightsOf(b, t, head);
    return sumOf(row.length, (s) => row[s] * at(value, [b, s, keyHead * width + (column % width)]));
  });
};

/** Asserts equal shapes, and elements equal relative to the largest one. */
export const expectClose = (
  actual: TensorData | Reference,
  expected: Reference | TensorData,
  tolerance = 1e-5,
): void => {
  expect(actual.shape).toEqual([...expected.shape]);
  const wanted = Array.from(expected.data, Number);
  const largest = Math.max(1, ...wanted.map(Math.abs));
  let worst = 0;
  wanted.forEach((value, index) => {
    const difference = Math.abs(Number(actual.data[index]) - value);
    // A NaN must not pass for a small difference.
    worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference);
  });
  expect(worst / largest).toBeLessThanOrEqual(tolerance);
};
