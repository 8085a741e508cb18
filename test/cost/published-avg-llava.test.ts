import { describe, expect, it } from "vitest";
import { conventions } from "../../src/cost/convention.js";
import { type CostReport, createCostEstimator } from "../../src/cost/cost-report.js";
import { publishedModel } from "../../src/load/published-sizes.js";

const granularities = [576, 288, 144, 72, 36];
const options = { convention: conventions.released };
const released = createCostEstimator(publishedModel("avg-llava-7b"), options);
const asMeant = createCostEstimator(
  publishedModel("avg-llava-7b", { avg_llava_variant: "fixed" }),
  options,
);
const allTokens = createCostEstimator(publishedModel("llava-next-7b"), options);

/** A question of 70 tokens about an image, for which the router chooses `routed` tokens a view. */
const ask = (
  estimate: (request: Parameters<typeof released>[0]) => CostReport,
  [width, height]: readonly [number, number],
  routed?: number,
): CostReport =>
  estimate({ media: [{ width, height, ...(routed && { routed }) }], textTokens: 70 });
const square = [672, 672] as const;

describe("AVG-LLaVA (arXiv 2410.02745) as its released code computes it", () => {
  it.each([
    ["336x672", [336, 672], [1776, 600, 456, 156, 120], [1776, 912, 456, 240, 120]],
    ["672x336", [672, 336], [1752, 588, 444, 150, 114], [1752, 888, 444, 228, 114]],
    ["672x672", [672, 672], [2928, 888, 744, 228, 192], [2928, 1488, 744, 384, 192]],
    ["1008x336", [1008, 336], [2328, 732, 588, 186, 150], [2328, 1176, 588, 300, 150]],
    ["336x1008", [336, 1008], [2376, 756, 612, 198, 162], [2376, 1224, 612, 324, 162]],
  ] as const)(
    "gives the tokens of %s, fewer than meant at 288 and 72",
    (_, size, tokens, meant) => {
      const count = (estimate: typeof released) =>
        granularities.map((granularity) => ask(estimate, size, granularity).visionTokens);
      expect(count(released)).toEqual(tokens);
      expect(count(asMeant)).toEqual(meant);
    },
  );

  it.each([
    [
      [640, 480],
      [2340, 738, 594, 202, 166],
    ],
    [
      [480, 640],
      [2352, 1088, 600, 280, 168],
    ],
    [
      [850, 600],
      [2242, 688, 544, 176, 140],
    ],
    [
      [1920, 1080],
      [1948, 638, 494, 150, 114],
    ],
    [
      [1700, 2200],
      [2448, 1088, 600, 280, 168],
    ],
    [
      [336, 336],
      [1176, 444, 300, 114, 78],
    ],
  ] as const)("gives the tokens of typical images: %j", (size, tokens) => {
    expect(granularities.map((one) => ask(released, size, one).visionTokens)).toEqual(tokens);
  });

  it("takes 45.6 T with all tokens, of which the language model has 43.5", () => {
    const { flops, visionTokens } = ask(allTokens, square);
    expect(visionTokens).toBe(2928);
    expect((flops.vision / 5e12).toFixed(3)).toBe("0.382");
    expect((flops.projector / 5e9).toFixed(1)).toBe("24.2");
    expect((flops.prefill / 1e12).toFixed(1)).toBe("43.5");
    expect((flops.total / 1e12).toFixed(1)).toBe("45.6");
  });

  it("takes so much at each granularity, the router included, and speeds up so far", () => {
    const baseline = ask(allTokens, square).flops.total;
    const rows = granularities.map((granularity) => {
      const { total, router } = ask(released, square, granularity).flops;
      return [
        (total / 1e12).toFixed(1),
        (baseline / total).toFixed(2),
        ((100 * router) / total).toFixed(1),
      ];
    });
    expect(rows).toEqual([
      ["46.9", "0.97", "2.9"],
      ["16.3", "2.80", "8.3"],
      ["14.3", "3.19", "9.5"],
      ["7.3", "6.26", "18.5"],
      ["6.8", "6.69", "19.8"],
    ]);
    const meant = [288, 72].map((granularity) =>
      (baseline / ask(asMeant, square, granularity).flops.total).toFixed(2),
    );
    expect(meant).toEqual(["1.84", "4.86"]);
  });

  it("has a router of 0.81, 1.08 and 1.35 T for three, four and five views", () => {
    const sizes = [[336, 672], [1008, 336], square] as const;
    const tera = sizes.map((size) => (ask(released, size).flops.router / 1e12).toFixed(2));
    expect(tera).toEqual(["0.81", "1.08", "1.35"]);
  });

  it("has 7,180,414,091 parameters, 1.664 % of them in the router", () => {
    const bytes = (name: "avg-llava-7b" | "llava-next-7b") =>
      createCostEstimator(publishedModel(name), { weightType: "float16" })({
        media: [],
        textTokens: 1,
      }).bytes.weights;
    const [avg, next] = [bytes("avg-llava-7b") / 2, bytes("llava-next-7b") / 2];
    expect([avg, next]).toEqual([7_180_414_091, 7_062_906_880]);
    expect(((100 * (avg - next)) / next).toFixed(3)).toBe("1.664");
  });

  it("asks no router where a granularity is asked for", () => {
    const size = { width: 672, height: 672 };
    const request = { media: [{ ...size, choice: { granularity: 36 } }], textTokens: 70 };
    expect(released(request).flops.router).toBe(0);
    expect(released(request).visionTokens).toBe(192);
  });
});
