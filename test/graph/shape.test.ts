import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { GraphError, ShapeError } from "../../src/errors.js";
import {
  addDims,
  broadcastShapes,
  type Dim,
  type DimBindings,
  dim,
  divideDims,
  evaluateDim,
  evaluateShape,
  multiplyDims,
  namesInShape,
  productOfDims,
  resolveAxis,
  sameDim,
  subtractDims,
} from "../../src/graph/shape.js";

/** A side built by the operations themselves, with the way to compute it on numbers. */
type Built = { readonly side: Dim; readonly value: (bindings: DimBindings) => number };

const names = ["B", "T", "M"];
const leaf: fc.Arbitrary<Built> = fc.oneof(
  fc.integer({ min: -9, max: 9 }).map((number) => ({ side: number, value: () => number })),
  fc
    .constantFrom(...names)
    .map((name) => ({ side: dim(name), value: (bindings: DimBindings) => bindings[name] })),
);
const built: fc.Arbitrary<Built> = fc.letrec<{ built: Built }>((tie) => ({
  built: fc.oneof(
    { depthSize: "small" },
    leaf,
    fc.tuple(tie("built"), tie("built")).map(([a, b]) => ({
      side: addDims(a.side, b.side),
      value: (bindings: DimBindings) => a.value(bindings) + b.value(bindings),
    })),
    fc.tuple(tie("built"), tie("built")).map(([a, b]) => ({
      side: multiplyDims(a.side, b.side),
      value: (bindings: DimBindings) => a.value(bindings) * b.value(bindings),
    })),
    fc.tuple(tie("built"), tie("built")).map(([a, b]) => ({
      side: subtractDims(a.side, b.side),
      value: (bindings: DimBindings) => a.value(bindings) - b.value(bindings),
    })),
  ),
})).built;
const bindings = fc.record(
  Object.fromEntries(names.map((name) => [name, fc.integer({ min: 0, max: 7 })])),
);
const monomial: fc.Arbitrary<Dim> = fc
  .tuple(fc.integer({ min: 1, max: 6 }), fc.array(fc.constantFrom(...names), { maxLength: 3 }))
  .map(([coefficient, factors]) => multiplyDims(coefficient, ...factors.map(dim)));

describe("sides of shapes", () => {
  test("evaluating an expression equals computing with the numbers", () => {
    fc.assert(
      fc.property(built, bindings, ({ side, value }, values) => {
        // `-0` and `0` are the same number of elements.
        expect(evaluateDim(side, values) === value(values)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("addition and multiplication are commutative, associative and distributive, also in print", () => {
    fc.assert(
      fc.property(built, built, built, ({ side: a }, { side: b }, { side: c }) => {
        const laws: [Dim, Dim][] = [
          [addDims(a, b), addDims(b, a)],
          [multiplyDims(a, b), multiplyDims(b, a)],
          [addDims(addDims(a, b), c), addDims(a, addDims(b, c))],
          [multiplyDims(multiplyDims(a, b), c), multiplyDims(a, multiplyDims(b, c))],
          [multiplyDims(a, addDims(b, c)), addDims(multiplyDims(a, b), multiplyDims(a, c))],
          [subtractDims(a, a), 0],
        ];
        for (const [left, right] of laws) {
          expect(String(left)).toBe(String(right));
          expect(sameDim(left, right)).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("different polynomials print differently", () => {
    fc.assert(
      fc.property(built, built, bindings, (a, b, values) => {
        fc.pre(a.value(values) !== b.value(values));
        expect(String(a.side)).not.toBe(String(b.side));
      }),
      { numRuns: 300 },
    );
  });

  test("a result without names is a plain number", () => {
    fc.assert(
      fc.property(built, ({ side }) => {
        if (namesInShape([side]).size === 0) expect(typeof side).toBe("number");
      }),
    );
  });

  test("dividing a product by a monomial gives the other factor back", () => {
    fc.assert(
      fc.property(built, monomial, ({ side }, divisor) => {
        const quotient = divideDims(multiplyDims(side, divisor), divisor);
        expect(quotient).toBeDefined();
        expect(String(quotient)).toBe(String(side));
      }),
      { numRuns: 300 },
    );
  });

  test("a quotient is exact wherever there is one", () => {
    fc.assert(
      fc.property(built, built, bindings, (a, b, values) => {
        const quotient = divideDims(a.side, b.side);
        if (quotient === undefined) return;
        expect(evaluateDim(quotient, values) * b.value(values) === a.value(values)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("division that is not exact has no result", () => {
    expect(divideDims(7, 2)).toBeUndefined();
    expect(divideDims(dim("B"), dim("T"))).toBeUndefined();
    expect(divideDims(addDims(dim("B"), 1), dim("B"))).toBeUndefined();
    expect(divideDims(dim("B"), 0)).toBeUndefined();
  });

  test("a product over a shape counts its elements", () => {
    fc.assert(
      fc.property(fc.array(built, { maxLength: 4 }), bindings, (sides, values) => {
        const shape = sides.map(({ side }) => side);
        const count = evaluateShape(shape, values).reduce((product, side) => product * side, 1);
        expect(evaluateDim(productOfDims(shape), values) === count).toBe(true);
      }),
    );
  });

  test("a name without a value is an error that names it", () => {
    expect(() => evaluateDim(addDims(dim("B"), dim("T")), { B: 2 })).toThrow(GraphError);
    expect(() => evaluateDim(dim("T"), { B: 2 })).toThrow(/T needs a value/);
    expect(() => dim("not a name")).toThrow(GraphError);
  });
});

describe("broadcasting", () => {
  const side = fc.constantFrom<Dim>(1, 3, dim("B"), dim("T"));

  test("is symmetric, and 1 gives way to any side", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(side, fc.boolean(), fc.boolean()), { maxLength: 4 }),
        (axes) => {
          const whole = axes.map(([value]) => value);
          const a = axes.map(([value, keepLeft, keepRight]) =>
            keepLeft || !keepRight ? value : 1,
          );
          const b = axes.map(([value, keepLeft, keepRight]) =>
            keepRight || !keepLeft ? value : 1,
          );
          expect(broadcastShapes("test", a, b).map(String)).toEqual(whole.map(String));
          expect(broadcastShapes("test", b, a).map(String)).toEqual(whole.map(String));
        },
      ),
    );
  });

  test("sides that differ are refused with both shapes", () => {
    expect(() => broadcastShapes("add", [2, dim("T")], [2, dim("M")])).toThrow(ShapeError);
    expect(() => broadcastShapes("add", [2, 3], [4])).toThrow(/add: .*\[2, 3\] and \[4\]/);
  });

  test("axes count from either end and must exist", () => {
    expect(resolveAxis("test", -1, 3)).toBe(2);
    for (const axis of [3, -4, 0.5, Number.NaN]) {
      expect(() => resolveAxis("test", axis, 3)).toThrow(ShapeError);
    }
  });
});
