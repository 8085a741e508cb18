import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModelConfigError, OptionsError } from "../../src/errors.js";
import { createViews, toPixelValues } from "../../src/image/clip-processor.js";
import type { RgbImage, Size } from "../../src/image/image.js";
import { centredScaling } from "../../src/image/pixel-scaling.js";
import { parseSliceConfig, resolveSlicing } from "../../src/image/slice-config.js";
import { countSliceTokens, merge16, planSlices } from "../../src/image/slice-plan.js";
import { packViews } from "../../src/image/slice-processor.js";
import { processFramesInSlices } from "../../src/video/process-frames.js";

const randomPixels = ({ width, height }: Size, seed = 1): RgbImage => {
  const data = new Uint8Array(width * height * 3);
  let state = seed;
  for (let at = 0; at < data.length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    data[at] = state >>> 24;
  }
  return { width, height, data };
};

describe("packed views", () => {
  const image = randomPixels({ width: 300, height: 210 });
  const plan = planSlices(image, { viewSidePx: 112 });

  it("hold every pixel of every view in its patch, views one after the other", () => {
    const { pixelValues, targetSizes } = packViews([{ image, plan }]);
    const sizes = Array.from(targetSizes.data, Number);
    expect(targetSizes.shape).toEqual([plan.views.length, 2]);
    const numPatches = sizes.reduce(
      (sum, rows, at) => (at % 2 ? sum : sum + rows * sizes[at + 1]),
      0,
    );
    expect(pixelValues.shape).toEqual([1, 3, 14, numPatches * 14]);
    let first = 0;
    for (const [index, view] of createViews(image, plan).entries()) {
      const values = toPixelValues(view, centredScaling);
      const [rows, columns] = sizes.slice(index * 2, index * 2 + 2);
      expect([rows * 14, columns * 14]).toEqual([view.height, view.width]);
      for (const [channel, y, x] of [
        [0, 0, 0],
        [1, 13, 14],
        [2, 14, 13],
        [0, view.height - 1, view.width - 1],
        [2, 55, 29],
      ]) {
        const patch = first + Math.floor(y / 14) * columns + Math.floor(x / 14);
        const at = (channel * 14 + (y % 14)) * numPatches * 14 + patch * 14 + (x % 14);
        expect(pixelValues.data[at]).toBe(values[(channel * view.height + y) * view.width + x]);
      }
      first += rows * columns;
    }
    expect(first).toBe(numPatches);
  });

  it("of two images are those of the one and those of the other", () => {
    const other = randomPixels({ width: 90, height: 40 }, 9);
    const second = planSlices(other, { viewSidePx: 112 });
    const both = packViews([
      { image, plan },
      { image: other, plan: second },
    ]);
    const alone = [packViews([{ image, plan }]), packViews([{ image: other, plan: second }])];
    const lengths = alone.map(({ pixelValues }) => pixelValues.shape[3]);
    for (let row = 0; row < 3 * 14; row++) {
      const start = row * (lengths[0] + lengths[1]);
      let from = start;
      for (const [index, length] of lengths.entries()) {
        const expected = alone[index].pixelValues.data.subarray(row * length, (row + 1) * length);
        const found = both.pixelValues.data.subarray(from, from + length);
        expect(found.every((value, at) => value === expected[at])).toBe(true);
        from += length;
      }
    }
    expect(both.views).toEqual([...plan.views, ...second.views]);
  });

  it("are refused without an image, for another image, or with patches of two sizes", () => {
    expect(() => packViews([])).toThrow(OptionsError);
    expect(() => packViews([{ image: randomPixels({ width: 10, height: 10 }), plan }])).toThrow(
      OptionsError,
    );
    const other = planSlices(image, { viewSidePx: 112, patchSidePx: 16 });
    expect(() =>
      packViews([
        { image, plan },
        { image, plan: other },
      ]),
    ).toThrow(/14 and 16/);
  });

  it("of a video are those of its frames, each an image", async () => {
    const frames = [1, 2, 3].map((seed) => randomPixels({ width: 130, height: 120 }, seed));
    const options = { viewSidePx: 112 };
    let index = 0;
    for await (const packed of processFramesInSlices(frames, options, centredScaling)) {
      const image = frames[index++];
      const expected = packViews([{ image, plan: planSlices(image, options) }]);
      expect(packed.views).toEqual(expected.views);
      expect(packed.targetSizes).toEqual(expected.targetSizes);
      const { data } = expected.pixelValues;
      expect(packed.pixelValues.data.every((value, at) => value === data[at])).toBe(true);
    }
    expect(index).toBe(3);
  });
});

describe("planned tokens are those of the processed views", () => {
  const produce = (width: number, height: number) => {
    const image = { width, height, data: new Uint8Array(width * height * 3) };
    const plan = planSlices(image, { viewSidePx: 112, patchSidePx: 2, unitPx: 8 });
    const planned = countSliceTokens(plan, merge16);
    const { targetSizes, pixelValues } = packViews([{ image, plan }]);
    const sizes = Array.from(targetSizes.data, Number);
    const produced = planned.map((_, view) => (sizes[2 * view] * sizes[2 * view + 1]) / 16);
    const numTokens = planned.reduce((sum, tokens) => sum + tokens, 0);
    expect(produced).toEqual(planned);
    expect(pixelValues.data.length).toBe(numTokens * 16 * 2 * 2 * 3);
    return planned.length;
  };

  it("for 40 small images, to an aspect ratio of 50", () => {
    let numSliced = 0;
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 400 }),
        fc.double({ min: 1, max: 50, noNaN: true }),
        fc.boolean(),
        (long, aspect, isTall) => {
          const short = Math.max(1, Math.ceil(long / aspect));
          numSliced += (isTall ? produce(short, long) : produce(long, short)) > 1 ? 1 : 0;
        },
      ),
      { numRuns: 40 },
    );
    expect(numSliced).toBeGreaterThan(4);
  });

  it.each([
    [1, 1],
    [1, 50],
    [8000, 160],
    [160, 8000],
    [1500, 1000],
  ])("for %ix%i", (width, height) => {
    expect(produce(width, height)).toBeGreaterThan(0);
  });
});

describe("the settings of a processor", () => {
  const published = {
    image_processor_type: "MiniCPMV4_6ImageProcessor",
    max_slice_nums: 9,
    scale_resolution: 448,
    patch_size: 14,
    use_image_id: true,
    slice_mode: true,
    image_mean: [0.5, 0.5, 0.5],
    image_std: [0.5, 0.5, 0.5],
  };
  const units = (settings: Parameters<typeof parseSliceConfig>[0], mode?: "16x" | "4x") =>
    resolveSlicing(parseSliceConfig(settings), { downsampleMode: mode });

  it("come from preprocessor_config.json, processor_config.json or config.json alike", () => {
    const config = parseSliceConfig({ preprocessorConfig: published });
    expect(parseSliceConfig({ processorConfig: { image_processor: published } })).toEqual(config);
    const { max_slice_nums, scale_resolution, patch_size } = published;
    const slice_config = { max_slice_nums, scale_resolution, patch_size };
    expect(parseSliceConfig({ config: { model_type: "minicpmv4_6", slice_config } })).toEqual(
      config,
    );
    expect(config).toEqual({
      maxSlices: 9,
      viewSidePx: 448,
      patchSidePx: 14,
      downsampleMode: "16x",
      fourfoldUnit: "compat",
      usesImageIds: true,
      scaling: centredScaling,
    });
  });

  it("round views to 56 pixels; 4x to 56 in transformers and to 28 in training; a resampler to 14", () => {
    const training = { config: { model_type: "llava_uhd_v4" } };
    const released = { preprocessorConfig: published };
    expect(units(released).options.unitPx).toBe(56);
    expect(units(released, "4x")).toMatchObject({
      options: { unitPx: 56 },
      reduction: { mergeSide: 2 },
    });
    expect(units(training).options.unitPx).toBe(56);
    expect(units(training, "4x")).toMatchObject({
      options: { unitPx: 28 },
      reduction: { mergeSide: 2 },
    });
    const resampler = {
      preprocessorConfig: {
        image_processor_type: "MiniCPMVImageProcessor",
        image_feature_size: 64,
      },
    };
    expect(units(resampler)).toMatchObject({
      options: { unitPx: 14 },
      reduction: { numQueries: 64 },
    });
    expect(() => units(resampler, "4x")).toThrow(OptionsError);
  });

  it("without slice_mode give one view, and a request may ask for other slices", () => {
    const one = parseSliceConfig({ preprocessorConfig: { ...published, slice_mode: false } });
    expect(resolveSlicing(one).options.maxSlices).toBe(1);
    expect(resolveSlicing(one, { maxSlices: 36 }).options.maxSlices).toBe(36);
    expect(() =>
      planSlices({ width: 9, height: 9 }, resolveSlicing(one, { maxSlices: 0 }).options),
    ).toThrow(OptionsError);
  });

  it("read the older names of mean and deviation", () => {
    const norm = { norm_mean: [0.1, 0.2, 0.3], norm_std: [1, 2, 3] };
    expect(parseSliceConfig({ preprocessorConfig: norm }).scaling.normalize).toEqual({
      mean: [0.1, 0.2, 0.3],
      std: [1, 2, 3],
    });
  });

  it.each([
    ["another processor", { image_processor_type: "CLIPImageProcessor" }],
    ["another filter", { resample: 2 }],
    ["no resizing", { do_resize: false }],
    ["no slices at all", { max_slice_nums: 0 }],
    ["half a slice", { max_slice_nums: 2.5 }],
    ["a mode that is none", { downsample_mode: "8x" }],
    ["a deviation of 0", { image_std: [0.5, 0, 0.5] }],
    ["a mean of two channels", { image_mean: [0.5, 0.5] }],
  ])("are refused with %s", (_, change) => {
    const preprocessorConfig = { ...published, ...change };
    expect(() => parseSliceConfig({ preprocessorConfig })).toThrow(ModelConfigError);
    expect(() => parseSliceConfig({ preprocessorConfig })).toThrow(Object.keys(change)[0]);
  });

  it("are refused where a file holds no object", () => {
    expect(() => parseSliceConfig({ processorConfig: { image_processor: [] } })).toThrow(
      ModelConfigError,
    );
    expect(() => parseSliceConfig({ config: "minicpmv4_6" })).toThrow(ModelConfigError);
  });
});
