import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import * as g from "../../src/graph/index.js";
import { elementCount, float32, int64 } from "../../src/tensor-data.js";

let engine: g.Engine;
beforeAll(() => {
  engine = createNodeEngine({ threads: 1 });
});
afterAll(() => engine.close());

/** A function of tensors, and the shapes it is tried with. */
type Case = readonly [name: string, shapes: readonly number[][], f: (...x: g.Tensor[]) => g.Tensor];

const integer = (low: number, high: number): number =>
  low + Math.floor(Math.random() * (high - low + 1));
// Norms over fewer than four elements bend too sharply for differences to follow.
const [B, T, S, D] = [integer(1, 3), integer(2, 6), integer(2, 6), integer(4, 7)];
const heads = (H: number, K: number, E: number, causal: boolean): Case => [
  `attention, ${H} heads on ${K}, width ${E}, ${causal ? "causal" : "full"}`,
  [
    [B, T, H * E],
    [B, causal ? T : S, K * E],
    [B, causal ? T : S, K * E],
  ],
  (q, k, v) => g.attention(q, k, v, { numHeads: H, numKeyValueHeads: K, scale: E ** -0.5, causal }),
];
const positive = (x: g.Tensor): g.Tensor => g.add(g.exp(x), g.scalar(0.5));
const indices = g.constant(int64([2, 3], [0, 4, 4, 1, 0, 0]));

const cases: Case[] = [
  ["add", [[B, D], [D]], g.add],
  ["subtract", [[B, 1], [D]], g.subtract],
  [
    "multiply",
    [
      [B, T, D],
      [T, 1],
    ],
    g.multiply,
  ],
  ["divide", [[B, D], [D]], (a, b) => g.divide(a, positive(b))],
  ["maximum", [[B, D], [D]], g.maximum],
  ["minimum", [[B, D], [D]], g.minimum],
  ["negate", [[B, D]], g.negate],
  ["exp", [[B, D]], g.exp],
  ["log", [[B, D]], (x) => g.log(positive(x))],
  ["sqrt", [[B, D]], (x) => g.sqrt(positive(x))],
  ["erf", [[B, D]], g.erf],
  ["tanh", [[B, D]], g.tanh],
  ["sigmoid", [[B, D]], g.sigmoid],
  ["relu", [[B, D]], g.relu],
  ["softplus", [[B, D]], g.softplus],
  ["gelu", [[B, D]], g.gelu],
  ["geluTanh", [[B, D]], g.geluTanh],
  ["quickGelu", [[B, D]], g.quickGelu],
  ["silu", [[B, D]], g.silu],
  [
    "where",
    [
      [B, D],
      [B, D],
    ],
    (a, b) => g.where(g.less(a, b), g.multiply(a, a), b),
  ],
  ["linear", [[B, T, D], [S, D], [S]], g.linear],
  [
    "linear without bias",
    [
      [T, D],
      [S, D],
    ],
    g.linear,
  ],
  ...[false, true].flatMap((transposeA) =>
    [false, true].map(
      (transposeB): Case => [
        `matmul, transposed ${transposeA} and ${transposeB}`,
        [transposeA ? [B, D, T] : [B, T, D], transposeB ? [S, D] : [D, S]],
        (a, b) => g.matmul(a, b, { transposeA, transposeB, alpha: 0.7 }),
      ],
    ),
  ),
  ["layerNorm", [[B, T, D], [D], [D]], (x, w, b) => g.layerNorm(x, w, b, 1e-5)],
  ["rmsNorm", [[B, T, D], [D]], (x, w) => g.rmsNorm(x, w, 1e-5)],
  ["softmax", [[B, T, D]], (x) => g.softmax(x, 1)],
  ["sum", [[B, T, D]], (x) => g.sum(x, [0, 2])],
  ["sumOfSquares", [[B, T, D]], (x) => g.sumOfSquares(x, [1])],
  ["mean", [[B, T, D]], (x) => g.mean(x, [1], { keepSides: true })],
  ["largest", [[B, T, D]], (x) => g.largest(x, [2])],
  ["reshape", [[B, T, D]], (x) => g.reshape(x, [B * T, D])],
  ["transpose", [[B, T, D]], (x) => g.transpose(x, [2, 0, 1])],
  [
    "concat",
    [
      [B, T],
      [B, S],
    ],
    (a, b) => g.concat([a, b], 1),
  ],
  ["slice", [[B, T]], (x) => g.slice(x, 1, 1, T)],
  ["padAxis", [[B, T]], (x) => g.padAxis(x, 1, 1, 2)],
  ["broadcast", [[1, D]], (x) => g.broadcast(x, [T, D])],
  ["gatherRows", [[5, D]], (x) => g.gatherRows(x, indices)],
  ["scatterRows", [[2, 3, D]], (x) => g.scatterRows(x, indices, 6)],
  [
    "rope",
    [[1, 3, 16]],
    (x) =>
      g.rope(x, g.constant(int64([1, 3], [0, 5, 7])), g.ropeTables([1, 0.1, 0.01, 0.001], 8), 2),
  ],
  [
    "rope of pairs",
    [[1, 3, 16]],
    (x) => {
      const places = g.constant(int64([1, 3], [0, 5, 7]));
      return g.rope(x, places, g.ropeTables([1, 0.1, 0.01, 0.001], 8), 2, "pairs");
    },
  ],
  heads(4, 4, 8, true),
  heads(4, 2, 8, true),
  heads(5, 5, 12, true),
  heads(2, 2, 8, false),
  [
    "rope of a part of a head",
    [[1, 3, 32]],
    (x) =>
      g.rope(x, g.constant(int64([1, 3], [0, 5, 7])), g.ropeTables([1, 0.1, 0.01, 0.001], 8), 2),
  ],
  ...[false, true].map(
    (reversed): Case => [
      `deltaRecurrence, ${reversed ? "from the last token" : "from the first token"}`,
      [
        [B, T, 2],
        [B, T, 2],
        [B, T, 2, D],
        [B, T, 2, D],
        [B, T, 2, 3],
        [B, T, 2, D],
        [B, 2, D, 3],
      ],
      (logDecay, strength, key, addedKey, addedValue, query, initial) => {
        const steps = {
          logDecay: g.negate(g.softplus(logDecay)),
          strength: g.sigmoid(strength),
          key: g.multiply(key, g.scalar(0.5)),
          addedKey,
          addedValue,
          query,
        };
        const { read, last } = g.deltaRecurrence(steps, initial, { reversed });
        return g.concat([g.reshape(read, [-1]), g.reshape(last, [-1])], 0);
      },
    ],
  ),
  [
    "attention with a bias",
    [
      [2, T, 16],
      [2, T, 16],
      [2, T, 16],
    ],
    (q, k, v) => {
      const hidden = Float32Array.from({ length: 2 * T * T }, (_, i) =>
        i % T === 1 ? -1e30 : 0.1 * i,
      );
      const bias = g.constant(float32([2, 1, T, T], hidden));
      return g.attention(
        q,
        k,
        v,
        { numHeads: 2, numKeyValueHeads: 2, scale: 0.3, causal: true },
        bias,
      );
    },
  ],
  ["tokenLoss", [[4, 7]], (x) => g.tokenLoss(x, g.constant(int64([4], [0, 6, 2, 2])))],
  ["a tensor used twice", [[B, D]], (x) => g.multiply(g.tanh(x), g.add(x, g.multiply(x, x)))],
];

const draw = (shape: readonly number[]): Float32Array =>
  Float32Array.from({ length: elementCount(shape) }, () => 2 * Math.random() - 1);

/** Values further apart, and further from 0, than two steps: no kink lies between neighbours. */
const drawApart = (shapes: readonly (readonly number[])[]): Float32Array[] => {
  const total = shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  const levels = Array.from(
    { length: total },
    (_, index) => (index - Math.floor(total / 2)) * 0.04 + 0.02,
  );
  return shapes.map((shape) =>
    Float32Array.from({ length: elementCount(shape) }, () => {
      const [level] = levels.splice(integer(0, levels.length - 1), 1);
      return level;
    }),
  );
};
const isKinked = (name: string): boolean => /^(maximum|minimum|relu|largest|where)$/.test(name);

describe("the gradient of each operator equals central differences", () => {
  it.each(cases)("%s", async (name, shapes, f) => {
    const inputs = shapes.map((shape, index) => g.input(`x${index}`, "float32", shape));
    const y = f(...inputs);
    const weights = g.input("weights", "float32", y.shape);
    const loss = g.sum(
      g.multiply(y, weights),
      y.shape.map((_, axis) => axis),
    );
    const gradients = g.grad(loss, inputs);
    const outputs: Record<string, g.Tensor> = { loss };
    gradients.forEach((gradient, index) => {
      if (gradient !== undefined) outputs[`g${index}`] = gradient;
    });
    const session = await engine.open(g.createGraph(name, outputs), () => {
      throw new Error("no parameters");
    });
    const values = isKinked(name) ? drawApart(shapes) : shapes.map(draw);
    const feeds = {
      weights: float32(y.shape.map(Number), draw(y.shape.map(Number))),
      ...Object.fromEntries(shapes.map((shape, i) => [`x${i}`, float32(shape, values[i])])),
    };
    const analytic = await session.run(feeds);
    for (const [index, shape] of shapes.entries()) {
      const gradient = analytic[`g${index}`];
      expect(gradient.shape).toEqual(shape);
      for (let trial = 0; trial < 5; trial += 1) {
        const at = integer(0, elementCount(shape) - 1);
        const step = 5e-3;
        const losses: number[] = [];
        for (const offset of [step, -step]) {
          const moved = values[index].slice();
          moved[at] += offset;
          const shifted = { ...feeds, [`x${index}`]: float32(shape, moved) };
          losses.push(Number((await session.run(shifted, { fetch: ["loss"] })).loss.data[0]));
        }
        const numeric = (losses[0] - losses[1]) / (2 * step);
        const difference = Math.abs(numeric - Number(gradient.data[at]));
        expect(difference, `${name}: input ${index}, element ${at}`).toBeLessThan(0.01);
      }
    }
    await session.close();
  });
});

describe("gradients of parts that are computed again", () => {
  const [x, w, shared] = ["x", "w", "shared"].map((name) => g.input(name, "float32", [3, 3]));
  const part = (from: g.Tensor, weight: g.Tensor, besides: g.Tensor): g.Tensor =>
    g.gradientCheckpoint(
      g.add(from, g.tanh(g.multiply(g.matmul(g.softmax(from), weight), besides))),
      from,
      [besides],
    );
  const build = () => {
    const besides = g.exp(shared);
    const first = part(x, w, besides);
    // The same weight in two parts, and the first part's result used beside the second.
    const second = part(first, w, besides);
    const loss = g.sum(g.multiply(g.add(second, first), second), [0, 1]);
    return { loss, first };
  };

  it("equal those of parts that are kept", async () => {
    const { loss, first } = build();
    const targets = [x, w, shared, first];
    const outputs: Record<string, g.Tensor> = {};
    for (const recompute of [false, true]) {
      g.grad(loss, targets, { recompute }).forEach((gradient, index) => {
        outputs[`g${index} ${recompute}`] = gradient as g.Tensor;
      });
    }
    const session = await engine.open(g.createGraph("again", outputs), () => {
      throw new Error("no parameters");
    });
    const feeds = Object.fromEntries(
      ["x", "w", "shared"].map((name) => [name, float32([3, 3], draw([3, 3]))]),
    );
    const results = await session.run(feeds);
    await session.close();
    for (const index of targets.keys()) {
      const [kept, again] = [false, true].map((how) => results[`g${index} ${how}`].data);
      kept.forEach((value: number | bigint, at: number) => {
        expect(Math.abs(Number(again[at]) - Number(value))).toBeLessThan(1e-5);
      });
    }
  });

  it("compute each part twice, but none that holds a target within", () => {
    const count = (loss: g.Tensor, targets: g.Tensor[], recompute: boolean): number => {
      const [gradient] = g.grad(loss, targets, { recompute });
      const { operations } = g.createGraph("count", { loss, gradient: gradient as g.Tensor });
      return operations.filter(({ operator }) => operator.name === "tanh").length;
    };
    const { loss } = build();
    expect(count(loss, [x], false)).toBe(2);
    expect(count(loss, [x], true)).toBe(4);
    const inside = g.tanh(x);
    const around = g.gradientCheckpoint(g.multiply(inside, x), x);
    expect(count(g.sum(around, [0, 1]), [inside], true)).toBe(1);
  });
});

describe("grad", () => {
  it("refuses a loss that is no scalar", () => {
    const x = g.input("x", "float32", [2]);
    expect(() => g.grad(x, [x])).toThrow(/float32 scalar/);
  });

  it("gives no gradient where the loss does not depend on the target", () => {
    const [x, z] = ["x", "z"].map((name) => g.input(name, "float32", [2]));
    expect(g.grad(g.sum(x, [0]), [z])).toEqual([undefined]);
  });

  it("stops at stopGradient", () => {
    const x = g.input("x", "float32", [2]);
    expect(g.grad(g.sum(g.stopGradient(x), [0]), [x])).toEqual([undefined]);
  });

  it("names the operator that has no gradient", () => {
    const x = g.input("x", "float32", [1, 2, 8]);
    const cache = g.input("cache", "float32", [1, 1, 4, 8]);
    const places = g.input("places", "int32", [1]);
    const { output } = g.cachedAttention(
      x,
      x,
      x,
      { key: cache, value: cache },
      { lastIndex: places, totalLength: places },
      { numHeads: 1, numKeyValueHeads: 1, scale: 1 },
    );
    expect(() => g.grad(g.sum(output, [0, 1, 2]), [x])).toThrow(
      /operator "cached-attention" has no gradient/,
    );
  });
});
