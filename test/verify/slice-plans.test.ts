import { describe, expect, it } from "vitest";
import { ModelConfigError, OptionsError } from "../../src/errors.js";
import { produceSliced } from "../../src/image/slices-recorded.js";
import { verifySlicing } from "../../src/verify/slice-plans.js";
import { readJson } from "../support/recorded-preprocessing.js";

type Slices = {
  images: {
    size_wh: [number, number];
    plans: { max_slice_nums: number; unit: number; tokens_total: number }[];
  }[];
};
type Buckets = { buckets: Record<string, number[]> };
const read = () => ({
  slices: readJson("uhd-v4-slicing/slices.json") as Slices,
  buckets: readJson("uhd-v4-slicing/position_buckets.json") as Buckets,
});

describe("verifying recorded slice plans", () => {
  it("finds the one plan and the one bucket that were changed", () => {
    const { slices, buckets } = structuredClone(read());
    const [width, height] = slices.images[5].size_wh;
    const plan = slices.images[5].plans[1];
    plan.tokens_total += 1;
    buckets.buckets["28"][3] += 1;
    const { ok, tensors } = verifySlicing({ slices, buckets });
    expect(ok).toBe(false);
    expect(tensors.length).toBe(165);
    expect(tensors.filter((verdict) => !verdict.ok).map(({ name }) => name)).toEqual([
      `${width}x${height}.${plan.max_slice_nums}.${plan.unit}`,
      "buckets.28",
    ]);
  });

  it("refuses records that are incomplete", () => {
    const { slices } = read();
    expect(() => verifySlicing({ slices: { images: slices.images } })).toThrow(ModelConfigError);
    expect(() => verifySlicing({ slices, buckets: { buckets: { a: [1] } } })).toThrow(
      ModelConfigError,
    );
    expect(() => produceSliced(new Map(), ["0.slices.u8"], {})).toThrow(ModelConfigError);
    const geometry = readJson("preprocess-uhd/geometry.json");
    expect(() => produceSliced(new Map(), ["0.slices.u8"], geometry)).toThrow(OptionsError);
  });
});
