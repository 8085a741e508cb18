import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import type { Tensor } from "../../src/graph/index.js";
import * as graph from "../../src/graph/index.js";
import { constant, input } from "../../src/graph/index.js";
import { bool, float32 } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { elementwise, expectClose, reference } from "../support/reference-tensors.js";

const runner = useEngine();

/** The error function by its series; exact to double precision within ±6. */
const erf = (x: number): number => {
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n += 1) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

const unary: Record<string, [(x: Tensor) => Tensor, (x: number) => number]> = {
  negate: [graph.negate, (x) => -x],
  exp: [graph.exp, Math.exp],
  tanh: [graph.tanh, Math.tanh],
  sigmoid: [graph.sigmoid, sigmoid],
  relu: [graph.relu, (x) => Math.max(0, x)],
  erf: [graph.erf, erf],
  gelu: [graph.gelu, (x) => (x / 2) * (1 + erf(x / Math.SQRT2))],
  geluTanh: [
    graph.geluTanh,
    (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ],
  quickGelu: [graph.quickGelu, (x) => x * sigmoid(1.702 * x)],
  silu: [graph.silu, (x) => x * sigmoid(x)],
};
/** Functions of positive numbers. */
const unaryPositive: Record<string, [(x: Tensor) => Tensor, (x: number) => number]> = {
  log: [graph.log, Math.log],
  sqrt: [graph.sqrt, Math.sqrt],
};
const binary: Record<string, [(a: Tensor, b: Tensor) => Tensor, (a: number, b: number) => number]> =
  {
    add: [graph.add, (a, b) => a + b],
    subtract: [graph.subtract, (a, b) => a - b],
    multiply: [graph.multiply, (a, b) => a * b],
    divide: [graph.divide, (a, b) => a / b],
    maximum: [graph.maximum, Math.max],
    minimum: [graph.minimum, Math.min],
    less: [graph.less, (a, b) => Number(a < b)],
    greater: [graph.greater, (a, b) => Number(a > b)],
    equal: [graph.equal, (a, b) => Number(a === b)],
  };

/** Two shapes that broadcast, and their result. */
const broadcastable = fc
  .tuple(
    fc.array(fc.tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom("both", "left", "right")), {
      maxLength: 4,
    }),
    fc.nat(4),
    fc.boolean(),
  )
  .map(([axes, dropped, dropLeft]) => {
    const a = axes.map(([side, where]) => (where === "right" ? 1 : side));
    const b = axes.map(([side, where]) => (where === "left" ? 1 : side));
    // Leading sides may be missing on one side; the result then has those of the other.
    const cut = Math.min(dropped, axes.length);
    const result = axes.map(([side, where], axis) => {
      if (axis >= cut) return side;
      return (where === "left") === dropLeft && where !== "both" ? 1 : side;
    });
    return dropLeft ? { a: a.slice(cut), b, result } : { a, b: b.slice(cut), result };
  });

describe("elementwise operators equal their definitions", () => {
  test("activations and functions of one number", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
        fc.nat(),
        async (shape, seed) => {
          const random = randomTensors(seed);
          const value = random(shape, 5);
          const positive = float32(
            shape,
            value.data.map((element) => Math.abs(element) + 0.01),
          );
          const x = input("x", "float32", shape);
          const p = input("p", "float32", shape);
          const outputs: Record<string, Tensor> = {};
          for (const [name, [make]] of Object.entries(unary)) outputs[name] = make(x);
          for (const [name, [make]] of Object.entries(unaryPositive)) outputs[name] = make(p);
          const results = await runner.compute(outputs, { x: value, p: positive });
          for (const [name, [, compute]] of Object.entries(unary)) {
            expectClose(results[name], elementwise(shape, compute, reference(value)), 2e-6);
          }
          for (const [name, [, compute]] of Object.entries(unaryPositive)) {
            expectClose(results[name], elementwise(shape, compute, reference(positive)), 2e-6);
          }
        },
      ),
      { numRuns: 12 },
    );
  });

  test("functions of two numbers, with broadcasting", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastable, fc.nat(), async ({ a, b, result }, seed) => {
        const random = randomTensors(seed);
        // Quarters, so that some elements are equal; none is zero, for the division.
        const draw = (shape: readonly number[]) =>
          float32(
            shape,
            random(shape, 2).data.map((x) => (Math.round(4 * x) || 1) / 4),
          );
        const [left, right] = [draw(a), draw(b)];
        const outputs: Record<string, Tensor> = {};
        const [x, y] = [input("x", "float32", a), input("y", "float32", b)];
        for (const [name, [make]] of Object.entries(binary)) outputs[name] = make(x, y);
        const results = await runner.compute(outputs, { x: left, y: right });
        for (const [name, [, compute]] of Object.entries(binary)) {
          const expected = elementwise(result, compute, reference(left), reference(right));
          expectClose(results[name], expected, 1e-6);
        }
      }),
      { numRuns: 20 },
    );
  });

  test("where chooses element by element, all three sides broadcast", async () => {
    await fc.assert(
      fc.asyncProperty(broadcastable, fc.nat(), async ({ a, b, result }, seed) => {
        const random = randomTensors(seed);
        const condition = bool(
          a,
          random(a).data.map((x) => Number(x > 0)),
        );
        const [yes, no] = [random(b), random([])];
        const chosen = graph.where(
          input("condition", "bool", a),
          input("yes", "float32", b),
          input("no", "float32", []),
        );
        const results = await runner.compute({ chosen }, { condition, yes, no });
        const expected = elementwise(
          result,
          (c, left, right) => (c ? left : right),
          ...[condition, yes, no].map(reference),
        );
        expectClose(results.chosen, expected, 0);
      }),
      { numRuns: 10 },
    );
  });

  test("logic of booleans", async () => {
    const [a, b] = [bool([4], [0, 0, 1, 1]), bool([4], [0, 1, 0, 1])];
    const [x, y] = [constant(a), input("y", "bool", [4])];
    const { both, not } = await runner.compute(
      { both: graph.logicalAnd(x, y), not: graph.logicalNot(y) },
      { y: b },
    );
    expect([both.dtype, [...both.data]]).toEqual(["bool", [0, 0, 0, 1]]);
    expect([not.dtype, [...not.data]]).toEqual(["bool", [1, 0, 1, 0]]);
  });

  test("casts keep the values that both types have", async () => {
    const x = input("x", "float32", [5]);
    const types = ["int64", "int32", "bool", "float16", "float32"] as const;
    const outputs = Object.fromEntries(
      types.map((type) => [type, graph.cast(graph.cast(graph.add(x, x), type), "float32")]),
    );
    const results = await runner.compute(outputs, { x: float32([5], [0, 0.5, 1, -2, 3]) });
    const doubled = [0, 1, 2, -4, 6];
    for (const type of types) {
      const expected = type === "bool" ? [0, 1, 1, 1, 1] : doubled;
      expect([...results[type].data], type).toEqual(expected);
    }
  });
});

describe("elementwise operators refuse", () => {
  test("sides of different types, and conditions that are not bool", () => {
    const x = input("x", "float32", [2]);
    const n = input("n", "int64", [2]);
    expect(() => graph.add(x, n)).toThrow(ShapeError);
    expect(() => graph.add(x, n)).toThrow(/float32 and int64; cast/);
    expect(() => graph.where(x, x, x)).toThrow(ShapeError);
  });

  test("shapes that do not broadcast", () => {
    const [a, b] = [input("a", "float32", ["T", 2]), input("b", "float32", ["T", 3])];
    expect(() => graph.multiply(a, b)).toThrow(/multiply: .*\[T, 2\] and \[T, 3\]/);
  });
});
