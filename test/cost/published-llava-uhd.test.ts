import { describe, expect, it } from "vitest";
import { type CostConvention, conventions } from "../../src/cost/convention.js";
import { createCostEstimator } from "../../src/cost/cost-report.js";
import { estimatePartOperations, evaluateParts } from "../../src/cost/part-operations.js";
import { publishedModel } from "../../src/load/published-sizes.js";
import type { LlavaUhdParams } from "../../src/systems/llava-uhd.js";
import { llavaUhdVisionGraph } from "../../src/systems/llava-uhd-graphs.js";
import { billedVision } from "../../src/systems/llava-uhd-runs.js";

type Changes = Readonly<Record<string, unknown>>;
const { macs } = conventions;
/** Multiply-adds of products alone, windows as they are. */
const products: CostConvention = { ...conventions.true, multiplyAdd: 1 };
/** All merging after the encoder. */
const postVit = { insert_layer_id: -1, merger_times: 2 };

/** Operations of one view of so many patches, in 10^9. */
const viewCost = (changes: Changes, patches: number, convention: CostConvention) => {
  const { config, params } = publishedModel("llava-uhd-v4-8b", changes).system;
  if (config.system !== "llava-uhd") throw new Error("viewCost: needs LLaVA-UHD");
  const vision = billedVision(config.vision, convention);
  const graph = llavaUhdVisionGraph(params as LlavaUhdParams, vision, 1, "16x");
  // The paper's view of 70x70 patches does not divide into tokens of 16: its figures end before that.
  const sides = { V0: 1, M0: patches / 16 };
  const parts = evaluateParts(estimatePartOperations(graph, "vision", convention), sides);
  const giga = (part: "vision" | "compression" | "projector") => (parts.get(part) ?? 0) / 1e9;
  return { encoder: giga("vision") + giga("compression"), connector: giga("projector") };
};

describe("LLaVA-UHD v4's table of operations (arXiv 2605.08985, tables 4 and 5)", () => {
  it.each([
    ["Post-ViT", 3555.1, postVit],
    ["Average Pool", 1368.7, { compressor_type: "average-pool" }],
    ["Pixel-Unshuffle MLP", 1401.2, { compressor_type: "pixel-unshuffle-mlp" }],
    ["Reused MLP", 1490.2, { compressor_type: "reused-mlp" }],
    ["Cross-Attn, top-left query", 1402.0, { compressor_type: "cross-attention-top-left" }],
    ["Cross-Attn, mean query", 1402.0, { compressor_type: "cross-attention-mean" }],
    ["Win-Attn w/ MLP", 1484.1, { compressor_type: "window-attention-mlp" }],
    ["Win-Attn w/ Reused MLP", 1573.1, {}],
    ["k = 3", 1245.1, { insert_layer_id: 3 }],
    ["k = 9", 1901.1, { insert_layer_id: 9 }],
    ["k = 15", 2557.0, { insert_layer_id: 15 }],
  ] as const)("%s is %d G for one view of 980 pixels", (_, published, changes) => {
    expect(Math.abs(viewCost(changes, 4900, macs).encoder - published)).toBeLessThan(0.1);
  });

  it("bills window attention as if over the view: truly it is 1516.3 G, 57.3 % less", () => {
    const windows: CostConvention = { ...macs, windows: "own" };
    const [merged, all] = [{}, postVit].map((one) => viewCost(one, 4900, windows).encoder);
    expect(merged.toFixed(1)).toBe("1516.3");
    expect((100 * (1 - merged / all)).toFixed(1)).toBe("57.3");
    const dense = [{}, postVit].map((one) => viewCost(one, 4900, macs).encoder);
    expect((100 * (1 - dense[0] / dense[1])).toFixed(2)).toBe("55.75");
  });
});

describe("the multiply-adds of a view at the sizes that occur", () => {
  it.each([
    [784, "361.1", "7.2", "179.1", "2.0"],
    [1024, "486.9", "9.4", "238.5", "2.6"],
    [1120, "539.2", "10.2", "263.0", "2.8"],
    [4096, "2730.2", "37.4", "1193.3", "10.3"],
    [4900, "3511.2", "44.8", "1502.5", "12.3"],
  ])("of %d patches", (patches, all, allConnector, merged, mergedConnector) => {
    const near = (value: number, printed: string) =>
      expect(Math.abs(value - Number(printed))).toBeLessThan(0.1);
    const after = viewCost(postVit, patches, products);
    near(after.encoder, all);
    near(after.connector, allConnector);
    const inside = viewCost({}, patches, products);
    near(inside.encoder, merged);
    near(inside.connector, mergedConnector);
  });

  it.each([
    ["average-pool", "207.7"],
    ["pixel-unshuffle-mlp", "214.5"],
    ["cross-attention-top-left", "214.7"],
    ["window-attention-mlp", "219.9"],
    ["reused-mlp", "233.1"],
    ["window-attention-reused-mlp", "238.5"],
  ])("of 448 pixels with %s are %s G", (variant, giga) => {
    const { encoder } = viewCost({ compressor_type: variant }, 1024, products);
    expect(Math.abs(encoder - Number(giga))).toBeLessThan(0.1);
  });

  it.each([
    [3, "196.7", "59.6"],
    [6, "238.5", "51.0"],
    [9, "280.4", "42.4"],
    [15, "364.2", "25.2"],
  ])("merged after layer %d are %s G, less by %s percent", (layer, giga, saved) => {
    const merged = viewCost({ insert_layer_id: layer }, 1024, products).encoder;
    const all = viewCost(postVit, 1024, products).encoder;
    expect(merged.toFixed(1)).toBe(giga);
    expect((100 * (1 - merged / all)).toFixed(1)).toBe(saved);
  });

  it("of a whole image of 1344 pixels are 2.39 T, and 4.87 T merged after the encoder", () => {
    const tera = [{}, postVit].map((changes) => {
      const model = publishedModel("llava-uhd-v4-8b", changes);
      const image = { width: 1344, height: 1344 };
      const estimate = createCostEstimator(model, { convention: products });
      const { flops, views, visionTokens } = estimate({ media: [image], textTokens: 50 });
      expect(views).toHaveLength(10);
      expect(visionTokens).toBe(640);
      return ((flops.vision + flops.compression) / 1e12).toFixed(2);
    });
    expect(tera).toEqual(["2.39", "4.87"]);
  });
});

describe("LLaVA-UHD v4's tokens", () => {
  const estimate = createCostEstimator(publishedModel("llava-uhd-v4-8b"));
  it.each([
    [448, 448, 64, 1024],
    [449, 449, 196, 3136],
    [640, 480, 203, 3248],
    [1024, 768, 315, 5040],
    [896, 896, 320, 5120],
    [1024, 1024, 424, 6784],
    [1084, 820, 441, 7056],
    [1280, 720, 444, 7104],
    [1344, 1344, 640, 10_240],
    [1920, 1080, 578, 9248],
    [2480, 3508, 574, 9184],
    [300, 3000, 435, 6960],
    [56, 56, 64, 1024],
  ])("of %dx%d are %d, from %d patches", (width, height, tokens, patches) => {
    const report = estimate({ media: [{ width, height }], textTokens: 1 });
    expect(report.visionTokens).toBe(tokens);
    expect(report.views.reduce((sum, view) => sum + view.patches, 0)).toBe(patches);
  });
});
