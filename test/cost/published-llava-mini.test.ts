import { describe, expect, it } from "vitest";
import { type CostConvention, conventions } from "../../src/cost/convention.js";
import {
  type CostEstimator,
  type CostReport,
  createCostEstimator,
  estimateCost,
} from "../../src/cost/cost-report.js";
import { type PublishedSize, publishedModel } from "../../src/load/published-sizes.js";

const image = { width: 336, height: 336 };
const large = { width: 672, height: 672 };
const { linear } = conventions;

type Asked = {
  readonly changes?: Readonly<Record<string, unknown>>;
  readonly size?: { readonly width: number; readonly height: number };
  readonly textTokens?: number;
  readonly convention?: CostConvention;
};

const estimators = new Map<string, CostEstimator>();
const costOf = (
  name: PublishedSize,
  { changes = {}, size = image, textTokens = 43, convention = linear }: Asked = {},
): CostReport => {
  const key = JSON.stringify([name, changes, convention]);
  const known = estimators.get(key);
  const estimate = known ?? createCostEstimator(publishedModel(name, changes), { convention });
  estimators.set(key, estimate);
  return estimate({ media: [size], textTokens });
};

/** In 10^12, as the paper prints them. */
const tera = (flops: number, digits: number): string => (flops / 1e12).toFixed(digits);
const totalOf = (name: PublishedSize, asked?: Asked, digits = 3): string =>
  tera(costOf(name, asked).flops.total, digits);

describe("the FLOPs of LLaVA-Mini's paper (arXiv 2501.03895), in its own convention", () => {
  it("of LLaVA-1.5 are 8.553 T, by parts as in Table 14", () => {
    const { flops, visionTokens } = costOf("llava-1.5-7b");
    expect(visionTokens).toBe(576);
    expect(tera(flops.vision, 4)).toBe("0.3492");
    expect(tera(flops.projector, 4)).toBe("0.0242");
    expect(tera(flops.prefill, 4)).toBe("8.1796");
    expect(tera(flops.total, 3)).toBe("8.553");
  });

  it("of compression alone are those of Table 6 at 1, 16, 64 and 144 tokens", () => {
    const totals = [1, 4, 8, 12].map((side) =>
      totalOf("llava-mini-7b", { changes: { prefusion_layer_num: 0, compressor_size: side } }),
    );
    expect(totals).toEqual(["0.957", "1.156", "1.793", "2.854"]);
  });

  it("grow by a quarter of a T with each fusion layer (Table 6; three layers are 1.71 and not 1.81)", () => {
    const totals = [1, 2, 3, 4].map((layers) =>
      totalOf("llava-mini-7b", { changes: { prefusion_layer_num: layers } }),
    );
    expect(totals).toEqual(["1.208", "1.459", "1.710", "1.961"]);
  });

  it("of the fusion and the language model are 1.004 and 0.581 T, 77.07 % less in all", () => {
    const { flops } = costOf("llava-mini-7b");
    expect(tera(flops.fusion, 3)).toBe("1.004");
    expect(tera(flops.prefill, 3)).toBe("0.581");
    const saved = 1 - flops.total / costOf("llava-1.5-7b").flops.total;
    expect((100 * saved).toFixed(2)).toBe("77.07");
  });

  it("of the compressor are 2.42 G for one query and 2.44 G for four (Table 8)", () => {
    const giga = [1, 2].map(
      (side) =>
        costOf("llava-mini-7b", { changes: { compressor_size: side } }).flops.compression / 1e9,
    );
    expect(giga.map((flops) => flops.toFixed(4))).toEqual(["2.4225", "2.4421"]);
  });

  it("at 672 pixels are 40.49 T for all tokens and 8.13 T for LLaVA-Mini-HD (section 5.2)", () => {
    const flat = { mm_patch_merge_type: "flat" };
    expect(totalOf("llava-next-7b", { changes: flat, size: large }, 2)).toBe("40.49");
    const { flops, visionTokens } = costOf("llava-mini-hd-7b", { size: large });
    expect(visionTokens).toBe(64);
    expect(tera(flops.vision, 3)).toBe("1.746");
    // Ours holds the 64 compressed tokens too, which the projector takes as well: 0.1208 without them.
    expect(tera(flops.projector - 64 * 2 * (1024 + 4096) * 4096, 4)).toBe("0.1208");
    expect(tera(flops.compression, 4)).toBe("0.0105");
    expect(tera(flops.fusion, 3)).toBe("4.836");
    expect(tera(flops.prefill, 3)).toBe("1.414");
    expect(tera(flops.total, 2)).toBe("8.13");
  });

  it("with Llama 3.1 are 9.66 and 2.12 T", () => {
    const llama = { vocab_size: 128_256, intermediate_size: 14_336, num_key_value_heads: 8 };
    expect(totalOf("llava-1.5-7b", { changes: llama }, 2)).toBe("9.66");
    expect(totalOf("llava-mini-llama-3.1-8b", {}, 2)).toBe("2.12");
    expect(tera(costOf("llava-mini-llama-3.1-8b").flops.perToken, 7)).toBe("0.0150093");
  });

  it("are saved less the longer the question is, with and without attention's products", () => {
    const saved = (textTokens: number, convention: CostConvention): string => {
      const [mini, llava] = (["llava-mini-7b", "llava-1.5-7b"] as const).map(
        (name) => costOf(name, { textTokens, convention }).flops.total,
      );
      return (100 * (1 - mini / llava)).toFixed(1);
    };
    const lengths = [43, 64, 128, 256, 512, 1024];
    expect(lengths.map((length) => saved(length, linear))).toEqual([
      "77.1",
      "74.3",
      "66.7",
      "55.0",
      "39.5",
      "23.3",
    ]);
    const withAttention = { ...linear, attention: "all" } as const;
    expect(lengths.map((length) => saved(length, withAttention))).toEqual([
      "77.0",
      "74.3",
      "66.9",
      "55.5",
      "40.5",
      "24.6",
    ]);
  });
});

describe("the memory of LLaVA-Mini's paper", () => {
  it("is half a megabyte a token at 16 bits: 302 MB for all tokens of an image", () => {
    const bytes = (name: PublishedSize) =>
      estimateCost(
        publishedModel(name),
        { media: [image], textTokens: 0 },
        { cacheType: "float16" },
      ).bytes.kvCache;
    // One more token, the answer's first.
    expect(bytes("llava-1.5-7b")).toBe(577 * 524_288);
    expect(bytes("llava-mini-7b")).toBe(2 * 524_288);
    expect(bytes("llava-mini-llama-3.1-8b")).toBe(2 * 131_072);
  });
});
