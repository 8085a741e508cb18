import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  addCosts,
  estimateGraphCost,
  estimateSymbolicCost,
  matrixFlops,
  sidesInCost,
} from "../../src/cost/graph-cost.js";
import { GraphError } from "../../src/errors.js";
import { add, createGraph, input, linear, matmul, ones, relu } from "../../src/graph/index.js";
import { decoderGraph } from "../../src/language/decoder-graph.js";
import { llamaParams } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { clipHiddenState, clipParams, parseClipConfig } from "../../src/vision/clip.js";

const side = fc.integer({ min: 1, max: 4096 });

const clipGraph = (layer: number) => {
  const config = parseClipConfig({
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 336,
    patch_size: 14,
  });
  const pixels = input("pixels", "float32", ["V", 3, 336, 336]);
  const params = clipParams(new ParameterScope(), config);
  return createGraph("clip", { hidden: clipHiddenState(params, pixels, config, layer) });
};

const llamaOf = (numLayers: number) => {
  const config = parseLlamaConfig({
    vocab_size: 32_000,
    hidden_size: 4096,
    intermediate_size: 11_008,
    num_hidden_layers: numLayers,
    num_attention_heads: 32,
  });
  return decoderGraph(llamaParams(new ParameterScope(), config), config, 64);
};

describe("the cost of a graph", () => {
  it("of a linear layer is rows × in × out multiply-adds, whatever the sides", () => {
    fc.assert(
      fc.property(side, side, side, (rows, inWidth, outWidth) => {
        const x = input("x", "float32", ["T", inWidth]);
        const weight = new ParameterScope().parameter("weight", [outWidth, inWidth], ones);
        const graph = createGraph("linear", { y: linear(x, weight) });
        expect(estimateGraphCost(graph, { T: rows })).toEqual({
          linear: rows * inWidth * outWidth,
          attention: 0,
          elementwise: 0,
        });
      }),
    );
  });

  it("of products between activations counts as attention, batches included", () => {
    fc.assert(
      fc.property(side, side, side, fc.integer({ min: 1, max: 9 }), (t, s, e, b) => {
        const product = matmul(
          input("a", "float32", ["B", "T", e]),
          input("b", "float32", ["B", "S", e]),
          { transposeB: true },
        );
        const cost = estimateGraphCost(createGraph("scores", { product }), { B: b, T: t, S: s });
        expect(cost).toEqual({ linear: 0, attention: b * t * s * e, elementwise: 0 });
      }),
    );
  });

  it("counts an operation once, however many results need it, and none that no result needs", () => {
    const x = input("x", "float32", ["T", 8]);
    const shared = relu(x);
    const unused = relu(shared);
    expect(unused.shape).toEqual(shared.shape);
    const graph = createGraph("shared", { one: add(shared, shared), two: shared });
    expect(estimateGraphCost(graph, { T: 3 }).elementwise).toBe(2 * 3 * 8);
  });

  it("is linear in the batch and quadratic in the length only for attention", () => {
    const symbolic = estimateSymbolicCost(llamaOf(2));
    const names = (kind: "linear" | "attention") => String(symbolic[kind]).replaceAll(/\d+\*/g, "");
    expect(names("linear")).toBe("B + B*T");
    expect(names("attention")).toBe("B*S*T");
    expect(sidesInCost(llamaOf(2))).toEqual(new Set(["B", "S", "T"]));
  });

  it("of CLIP ViT-L/14 at 336 pixels is the published architecture's closed form", () => {
    const [tokens, width, layers] = [577, 1024, 23];
    const cost = estimateGraphCost(clipGraph(-2), { V: 1 });
    expect(cost.linear).toBe(layers * 12 * width * width * tokens + 576 * 588 * width);
    expect(cost.attention).toBe(layers * 2 * tokens * tokens * width);
    expect(matrixFlops(cost)).toBe(2 * (cost.linear + cost.attention));
    // Elementwise work is not nothing, yet far below a hundredth of the products.
    expect(cost.elementwise).toBeGreaterThan(layers * tokens * width);
    expect(cost.elementwise).toBeLessThan(cost.linear / 100);
  });

  it("of a 7B decoder's token is its weights, once each, and its attention", () => {
    const layerWeights = 4 * 4096 * 4096 + 3 * 4096 * 11_008;
    const cost = estimateGraphCost(llamaOf(32), { B: 1, T: 1, S: 620 });
    expect(cost.linear).toBe(32 * layerWeights + 32_000 * 4096);
    expect(cost.attention).toBe(32 * 2 * 620 * 4096);
  });

  it("of two graphs is the sum: layers add up", () => {
    const at = (layer: number) => estimateGraphCost(clipGraph(layer), { V: 2 });
    const perLayer = at(1).linear - at(0).linear;
    expect(at(5).linear).toBe(at(0).linear + 5 * perLayer);
    expect(addCosts(at(1), at(2)).attention).toBe(at(3).attention);
    expect(addCosts()).toEqual({ linear: 0, attention: 0, elementwise: 0 });
  });

  it("needs a value for every side, and names the one that is missing", () => {
    expect(() => estimateGraphCost(clipGraph(-2))).toThrow(GraphError);
    expect(() => estimateGraphCost(clipGraph(-2))).toThrow(/needs a value for V/);
  });
});
