import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { estimateActivationBytes } from "../../src/cost/activation-bytes.js";
import { GraphError } from "../../src/errors.js";
import { add, createGraph, exp, input, reshape, type Tensor } from "../../src/graph/index.js";

const side = 100;
const bytes = side * 4;
const x = input("x", "float32", [side]);
const chain = (from: Tensor, length: number): Tensor[] => {
  const values = [exp(from)];
  while (values.length < length) values.push(exp(values[values.length - 1]));
  return values;
};

describe("live activations", () => {
  it("of a chain are two values, however long it is", () => {
    for (const length of [2, 3, 20]) {
      const y = chain(x, length)[length - 1];
      expect(estimateActivationBytes(createGraph("chain", { y }))).toBe(2 * bytes);
    }
    expect(estimateActivationBytes(createGraph("one", { y: exp(x) }))).toBe(bytes);
  });

  it("kept for later are all counted, as the backward pass keeps the forward's", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), (length) => {
        // Every value of the chain is used again, the last one first.
        const values = chain(x, length);
        const y = values.reduceRight((sum, value) => add(sum, value));
        const expected = length === 1 ? 1 : length + 1;
        expect(estimateActivationBytes(createGraph("kept", { y }))).toBe(expected * bytes);
      }),
    );
  });

  it("do not count another shape of the same memory, nor outputs that are kept elsewhere", () => {
    const first = exp(x);
    const y = exp(reshape(reshape(first, [10, 10]), [50, 2]));
    expect(estimateActivationBytes(createGraph("alias", { y }))).toBe(2 * bytes);
    // The first shape's memory lives until the last use of the last one.
    const late = createGraph("late", {
      z: add(exp(exp(first)), reshape(reshape(first, [2, 50]), [side])),
    });
    expect(estimateActivationBytes(late)).toBe(3 * bytes);
    const kept = createGraph("kept", { "next.y": exp(first), z: exp(first) });
    expect(estimateActivationBytes(kept)).toBe(3 * bytes);
    const isKept = (name: string): boolean => name.startsWith("next.");
    expect(estimateActivationBytes(kept, {}, { isKept })).toBe(2 * bytes);
  });

  it("follow the named sides, which must have values", () => {
    const named = createGraph("named", { y: exp(input("x", "float32", ["B", 3])) });
    expect(estimateActivationBytes(named, { B: 7 })).toBe(7 * 3 * 4);
    expect(() => estimateActivationBytes(named)).toThrow(GraphError);
  });
});
