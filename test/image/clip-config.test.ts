import { describe, expect, it } from "vitest";
import { ModelConfigError, OptionsError } from "../../src/errors.js";
import { clipConfig, parseClipConfig } from "../../src/image/clip-config.js";
import { createViews, processClip, processViews } from "../../src/image/clip-processor.js";
import { createImage } from "../../src/image/image.js";
import { planClip, planPad } from "../../src/image/view-plan.js";
import { readJson } from "../support/recorded-preprocessing.js";

describe("parseClipConfig", () => {
  it("reads the published file of CLIP ViT-L/14-336", () => {
    const json = readJson("preprocess-clip/preprocessor_config.json");
    expect(parseClipConfig(json)).toEqual(clipConfig(336));
  });

  it("plain numbers mean the same as the newer forms", () => {
    const old = parseClipConfig({ size: 336, crop_size: 336 });
    expect(old).toEqual(
      parseClipConfig({ size: { shortest_edge: 336 }, crop_size: { height: 336, width: 336 } }),
    );
  });

  it("steps that are switched off are left out", () => {
    const json = {
      do_resize: false,
      do_center_crop: false,
      do_rescale: false,
      do_normalize: false,
    };
    const config = parseClipConfig(json);
    expect(config).toEqual({ resize: null, crop: null, rescaleFactor: null, normalize: null });
    const image = createImage({ width: 2, height: 1 }, [1, 2, 3]);
    expect([...processClip(image, config)]).toEqual([1, 1, 2, 2, 3, 3]);
    expect(() => planPad(image, config)).toThrow(ModelConfigError);
  });

  it.each([
    ["another filter", { resample: 2 }, /resample is 3 \(bicubic\), got 2/],
    ["another processor", { image_processor_type: "SiglipImageProcessor" }, /image_processor_type/],
    ["no object", "text", /preprocessor_config\.json/],
    ["a size of zero", { size: 0 }, /size/],
    ["a size that is no number", { size: { longest_edge: 3 } }, /size/],
    ["a deviation of zero", { image_std: [1, 0, 1] }, /every deviation is above 0/],
    ["two means", { image_mean: [0.5, 0.5] }, /image_mean/],
  ])("refuses %s", (_, json, message) => {
    expect(() => parseClipConfig(json)).toThrow(ModelConfigError);
    expect(() => parseClipConfig(json)).toThrow(message);
  });
});

describe("the processor", () => {
  it("a crop larger than the image has the image in its middle, rounded down and right, on black", () => {
    const config = { ...clipConfig(5), resize: null };
    const image = createImage({ width: 2, height: 8 }, [9, 9, 9]);
    const [view] = createViews(image, planClip(image, config));
    const row = [0, 0, 9, 9, 0].flatMap((level) => [level, level, level]);
    expect([...view.data]).toEqual([0, 1, 2, 3, 4].flatMap(() => row));
  });

  it("an exact size loses the aspect and needs no crop", () => {
    const config = parseClipConfig({ size: { height: 4, width: 6 }, do_center_crop: false });
    const image = createImage({ width: 50, height: 3 }, [1, 2, 3]);
    expect(createViews(image, planClip(image, config))).toEqual([
      createImage({ width: 6, height: 4 }, [1, 2, 3]),
    ]);
  });

  it("views of different sizes are refused", () => {
    const config = { ...clipConfig(5), resize: null, crop: null };
    const image = createImage({ width: 4, height: 8 });
    const [first] = planClip(image, config).views;
    const output = { ...first.output, width: 3 };
    const plan = { ...planClip(image, config), views: [first, { ...first, output }] };
    expect(() => processViews(image, plan, config)).toThrow(OptionsError);
  });
});
