import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { attention, input, type Tensor } from "../../src/graph/index.js";
import { keyMaskBias } from "../../src/nn/key-mask-bias.js";
import { gatedMlp, gatedMlpParams } from "../../src/nn/mlp.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { patchEmbedding, patchEmbeddingParams } from "../../src/nn/patch-embedding.js";
import { Taps } from "../../src/nn/taps.js";
import { bool, type TensorData } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import {
  at,
  build,
  expectClose,
  reference,
  referenceAttention,
  sumOf,
} from "../support/reference-tensors.js";

const runner = useEngine();

/** Random values for every parameter of a tree. */
const drawAll = (tree: Parameters<typeof listParameters>[0], seed: number) => {
  const random = randomTensors(seed);
  return new Map<string, TensorData>(
    [...listParameters(tree)].map(([name, { shape }]) => [name, random(shape.map(Number))]),
  );
};
const drawn = (values: ReadonlyMap<string, TensorData>, name: string) => {
  const value = values.get(name);
  if (value === undefined) throw new Error(`drawn: no value for ${name}`);
  return reference(value);
};

describe("layers equal their definitions", () => {
  test("a patch embedding is the convolution whose stride is its kernel", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          views: fc.integer({ min: 1, max: 3 }),
          rows: fc.integer({ min: 1, max: 3 }),
          columns: fc.integer({ min: 1, max: 3 }),
          channels: fc.integer({ min: 1, max: 3 }),
          patch: fc.integer({ min: 1, max: 4 }),
          width: fc.integer({ min: 1, max: 5 }),
          bias: fc.boolean(),
          seed: fc.nat(),
        }),
        async ({ views, rows, columns, channels, patch, width, bias, seed }) => {
          const params = patchEmbeddingParams(new ParameterScope(), width, channels, patch, {
            bias,
          });
          const values = drawAll(params, seed);
          const pixels = randomTensors(seed + 1)([views, channels, rows * patch, columns * patch]);
          const x = input("x", "float32", ["V", ...pixels.shape.slice(1)]);
          const results = await runner.compute(
            { y: patchEmbedding(params, x) },
            { x: pixels },
            values,
          );
          const [source, weight] = [reference(pixels), drawn(values, "weight")];
          const expected = build([views, rows * columns, width], ([v, n, d]) => {
            const [top, left] = [Math.floor(n / columns) * patch, (n % columns) * patch];
            const start = bias ? at(drawn(values, "bias"), [d]) : 0;
            return (
              start +
              sumOf(channels * patch * patch, (index) => {
                const c = Math.floor(index / (patch * patch));
                const [r, s] = [Math.floor(index / patch) % patch, index % patch];
                return at(source, [v, c, top + r, left + s]) * at(weight, [d, c, r, s]);
              })
            );
          });
          expectClose(results.y, expected);
        },
      ),
      { numRuns: 12 },
    );
  });

  test("a gated MLP is down(silu(gate x) · up x)", async () => {
    const params = gatedMlpParams(new ParameterScope(), 5, 7, { bias: true });
    const values = drawAll(params, 3);
    const x = randomTensors(4)([2, 5]);
    const results = await runner.compute(
      { y: gatedMlp(params, input("x", "float32", ["T", 5])) },
      { x },
      values,
    );
    const layer = (name: string, row: (e: number) => number, inner: number, out: number): number =>
      at(drawn(values, `${name}.bias`), [out]) +
      sumOf(inner, (e) => row(e) * at(drawn(values, `${name}.weight`), [out, e]));
    const source = reference(x);
    const expected = build([2, 5], ([t, d]) => {
      const own = (e: number) => at(source, [t, e]);
      const inner = (f: number): number => {
        const gate = layer("gate", own, 5, f);
        return (gate / (1 + Math.exp(-gate))) * layer("up", own, 5, f);
      };
      return layer("down", inner, 7, d);
    });
    expectClose(results.y, expected);
  });

  test("a key mask hides its keys from every query, as if they were not there", async () => {
    const [batch, length, width] = [2, 6, 8];
    const random = randomTensors(9);
    const x = random([batch, length, width]);
    const mask = bool([batch, length], [1, 1, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1]);
    const tokens = input("x", "float32", ["B", "T", width]);
    const attributes = { numHeads: 2, numKeyValueHeads: 2, scale: 0.5, causal: false };
    const bias = keyMaskBias(input("mask", "bool", ["B", "T"]));
    const results = await runner.compute(
      { y: attention(tokens, tokens, tokens, attributes, bias) },
      { x, mask },
    );
    for (let sample = 0; sample < batch; sample += 1) {
      const kept = Array.from({ length }, (_, place) => place).filter(
        (place) => mask.data[sample * length + place] === 1,
      );
      const all = build([1, length, width], ([, t, e]) => at(reference(x), [sample, t, e]));
      const keys = build([1, kept.length, width], ([, s, e]) => at(all, [0, kept[s], e]));
      const expected = referenceAttention(all, keys, keys, attributes);
      const own = build([1, length, width], ([, t, e]) => at(reference(results.y), [sample, t, e]));
      expectClose(own, expected);
    }
  });
});

describe("parameters and taps", () => {
  test("names are the paths of their scopes, each declared once", () => {
    const scope = new ParameterScope().child("decoder");
    const layers = scope.list("layers", 2, (layer) =>
      gatedMlpParams(layer.child("mlp"), 4, 6, { bias: false }),
    );
    expect([...listParameters(layers).keys()]).toEqual(
      [0, 1].flatMap((layer) =>
        ["gate", "up", "down"].map((part) => `decoder.layers.${layer}.mlp.${part}.weight`),
      ),
    );
    expect(listParameters(undefined).size).toBe(0);
  });

  test("taps keep tensors under their path and hand them on", () => {
    const taps = Taps.create();
    const x: Tensor = input("x", "float32", ["T"]);
    expect(taps.under("layers.3").add("output", x)).toBe(x);
    expect([...taps.tensors.keys()]).toEqual(["layers.3.output"]);
  });
});
