import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { TokenClass } from "../../src/analyze/answered-sequence.js";
import {
  attentionByClass,
  entropyByClass,
  entropyOf,
  totalEntropy,
} from "../../src/analyze/attention-by-class.js";

/** A causal map whose rows add up to 1. */
const causalMap = (rows: readonly (readonly number[])[]) => {
  const length = rows.length;
  const weights = new Float32Array(length * length);
  rows.forEach((row, at) => {
    const own = row.slice(0, at + 1).map((value) => value + 1e-3);
    const total = own.reduce((sum, value) => sum + value, 0);
    own.forEach((value, column) => {
      weights[at * length + column] = value / total;
    });
  });
  return { length, weights };
};
const classNames = ["instruction", "vision", "response"] as const;
const sequences = fc.integer({ min: 1, max: 9 }).chain((length) =>
  fc.record({
    classes: fc.array(fc.constantFrom(...classNames), { minLength: length, maxLength: length }),
    rows: fc.array(
      fc.array(fc.float({ min: 0, max: 1, noNaN: true }), {
        minLength: length,
        maxLength: length,
      }),
      { minLength: length, maxLength: length },
    ),
  }),
);

describe("attention by class", () => {
  it("of a hand-made row is its definition's, and leaves out rows that see none of a class", () => {
    const classes: TokenClass[] = ["instruction", "vision", "vision", "instruction"];
    const weights = [1, 0, 0, 0, 0.5, 0.5, 0, 0, 0.25, 0.25, 0.5, 0, 0.1, 0.2, 0.3, 0.4];
    const map = { length: 4, weights: Float32Array.from(weights) };
    const shares = attentionByClass(map, classes);
    // The first token sees no vision and does not count; the last gives half of its attention to it.
    expect(shares.instruction.vision).toBeCloseTo(0.5, 6);
    expect(shares.instruction.instruction).toBeCloseTo((1 + 0.5) / 2, 6);
    expect(shares.vision.vision).toBeCloseTo((0.5 + 0.75) / 2, 6);
    expect(shares.response.vision).toBeNull();
    expect(shares.vision.response).toBeNull();
    const entropies = entropyByClass(map, classes);
    const [small, large] = [0.4, 0.6];
    const expected = -small * Math.log(small) - large * Math.log(large);
    expect(entropies.instruction.vision).toBeCloseTo(expected, 6);
  });

  it("adds up to 1 from a class all of whose tokens see every class", () => {
    fc.assert(
      fc.property(sequences, ({ classes, rows }) => {
        const ordered = [...classNames, ...classes];
        const padded = [[1], [1, 1], [1, 1, 1], ...rows.map((row) => [1, 1, 1, ...row])];
        const last = ordered.length - 1;
        // Only the last token is of the class that is looked from.
        const own = ordered.map(
          (name, at): TokenClass =>
            at === last ? "response" : name === "response" ? "vision" : name,
        );
        const shares = attentionByClass(causalMap(padded), own).response;
        const sum = classNames.reduce((total, name) => total + (shares[name] ?? 0), 0);
        expect(sum).toBeCloseTo(1, 5);
      }),
    );
  });
});

describe("entropy", () => {
  it("of equal values is the logarithm of their number, and never more", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), (count) => {
        const row = new Array<number>(count).fill(3);
        expect(entropyOf(row, 3 * count)).toBeCloseTo(Math.log(count), 9);
      }),
    );
    fc.assert(
      fc.property(sequences, ({ classes, rows }) => {
        const map = causalMap(rows);
        const entropies = entropyByClass(map, classes);
        const seen = classes.filter((name) => name === "vision").length;
        for (const from of classNames) {
          const value = entropies[from].vision;
          if (value !== null) expect(value).toBeLessThanOrEqual(Math.log(seen) + 1e-6);
          const total = totalEntropy(map, classes)[from];
          if (total !== null) expect(total).toBeLessThanOrEqual(Math.log(map.length) + 1e-6);
        }
      }),
    );
  });

  it("of a single value is 0", () => {
    expect(entropyOf([0, 0, 0.2], 0.2)).toBeCloseTo(0, 12);
  });
});
