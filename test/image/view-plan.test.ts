import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LimitError, ModelConfigError, OptionsError } from "../../src/errors.js";
import { chooseResolution, nextPinpoints, planAnyres } from "../../src/image/anyres.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { createViews, processClip, processViews } from "../../src/image/clip-processor.js";
import { createImage, cropImage, pasteImage, type Size } from "../../src/image/image.js";
import { type ImageMode, parseImageMode, planViews } from "../../src/image/image-mode.js";
import { planSubImages } from "../../src/image/sub-images.js";
import { planClip, planPad } from "../../src/image/view-plan.js";
import { loadRecorded, readJson } from "../support/recorded-preprocessing.js";

type Pair = [number, number];
const toPair = ({ width, height }: Size): Pair => [width, height];
const toSize = ([width, height]: Pair): Size => ({ width, height });
const { images } = await loadRecorded("preprocess-clip");
const config = clipConfig(336);

type ClipGeometry = {
  file: string;
  size_wh: Pair;
  crop: { resized_wh: Pair; crop_left_top: Pair };
  pad: { square: number; fill_rgb: number[]; paste_left_top: Pair };
  split2x2_sizes_wh: Pair[];
};
const clipCases = (readJson("preprocess-clip/geometry.json") as { images: ClipGeometry[] }).images;

describe.each(clipCases)("the recorded geometry of $file", (recorded) => {
  const size = toSize(recorded.size_wh);

  it("crop", () => {
    const [view] = planClip(size, config).views;
    expect(toPair(view.resized)).toEqual(recorded.crop.resized_wh);
    expect([view.output.left, view.output.top]).toEqual(recorded.crop.crop_left_top);
  });

  it("pad", () => {
    const [left, top] = recorded.pad.paste_left_top;
    const [view] = planPad(size, config).views;
    const { square: side, fill_rgb: colour } = recorded.pad;
    expect(view.pad).toEqual({ side, left, top, colour });
  });

  it("blocks, then the whole image", () => {
    const { views } = planSubImages(size, config, { ratio: 2 });
    expect(views.map(({ rect }) => toPair(rect))).toEqual(recorded.split2x2_sizes_wh);
    expect(views.map(({ role }) => role)).toEqual(["part", "part", "part", "part", "whole"]);
  });
});

type AnyresGeometry = {
  file: string;
  size_wh: Pair;
  tile: number;
  pinpoints_wh: Pair[];
  best_resolution_wh: Pair;
  grid_cols_rows: Pair;
  resized_wh: Pair;
  paste_left_top: Pair;
  views: number;
};
const anyresCases = (readJson("preprocess-anyres/geometry.json") as { cases: AnyresGeometry[] })
  .cases;

describe.each(anyresCases)("the recorded tiling of $file at $tile", (recorded) => {
  const pinpoints = recorded.pinpoints_wh.map(toSize);
  const plan = planAnyres(toSize(recorded.size_wh), clipConfig(recorded.tile), pinpoints);

  it("resolution, grid, size on the canvas and views", () => {
    expect(toPair(plan.canvas)).toEqual(recorded.best_resolution_wh);
    expect([plan.grid.columns, plan.grid.rows]).toEqual(recorded.grid_cols_rows);
    expect(toPair(plan.canvas.resized)).toEqual(recorded.resized_wh);
    expect([plan.canvas.left, plan.canvas.top]).toEqual(recorded.paste_left_top);
    expect(plan.views).toHaveLength(recorded.views);
  });

  it("the published pinpoints are nextPinpoints", () => {
    expect(nextPinpoints(recorded.tile)).toEqual(pinpoints);
  });
});

describe("chooseResolution", () => {
  it("takes the first listed on an exact tie: 336x336 gives 336x672", () => {
    const square = { width: 336, height: 336 };
    expect(chooseResolution(square, nextPinpoints(336))).toEqual({ width: 336, height: 672 });
    const reversed = nextPinpoints(336).reverse();
    expect(chooseResolution(square, reversed)).toEqual({ width: 672, height: 336 });
  });
});

const side = fc.integer({ min: 2, max: 120 });
const modes: ImageMode[] = [
  { aspect: "square" },
  { aspect: "pad" },
  { aspect: "anyres", pinpoints: nextPinpoints(14) },
  { aspect: "square", subImages: { ratio: 2 } },
  { aspect: "pad", subImages: { ratio: 2, order: "split-then-pad" } },
  { aspect: "pad", subImages: { ratio: 2, order: "pad-then-split" } },
];

describe("plans and pixels agree for every mode", () => {
  it.each(modes)("%j", (mode) => {
    fc.assert(
      fc.property(side, side, (width, height) => {
        const small = clipConfig(14);
        const plan = planViews({ width, height }, small, mode);
        const image = createImage({ width, height }, [200, 100, 50]);
        const views = createViews(image, plan);
        expect(views.map(toPair)).toEqual(plan.views.map(({ output }) => toPair(output)));
        const processed = processViews(image, plan, small);
        expect(processed.pixelValues.length).toBe(plan.views.length * 3 * 14 * 14);
        expect(processed.pixelValues.every(Number.isFinite)).toBe(true);
        const parts = plan.views.filter(({ role }) => role === "part").length;
        expect(parts).toBe(plan.grid.columns * plan.grid.rows);
      }),
      { numRuns: 40 },
    );
  });
});

describe("LLaVA-Mini's sub-images", () => {
  const image = images.get(1);
  if (!image) throw new Error("fixture is incomplete");

  it("a ratio of 1 is the whole image once, not two equal views", () => {
    expect(planSubImages(image, config, { ratio: 1 })).toEqual(planClip(image, config));
  });

  it("split-then-pad pads each block, pad-then-split cuts the padded square", () => {
    const released = planSubImages(image, config, { ratio: 2, padding: "split-then-pad" });
    const trained = planSubImages(image, config, { ratio: 2, padding: "pad-then-split" });
    expect(released.views.map(({ rect }) => toPair(rect)).at(0)).toEqual([48, 165]);
    expect(trained.views.map(({ rect }) => toPair(rect)).at(0)).toEqual([165, 165]);
    const square = pasteImage(
      image,
      { left: 117, top: 0, width: 331, height: 331 },
      [122, 116, 104],
    );
    const rects = [
      { left: 0, top: 0, width: 165, height: 165 },
      { left: 165, top: 165, width: 165, height: 165 },
    ];
    const [first, , , fourth, whole] = createViews(image, trained);
    const expected = [...rects.map((rect) => cropImage(square, rect)), square].map(
      (part) => createViews(part, planClip(part, config))[0],
    );
    expect([first, fourth, whole]).toEqual(expected);
    const block = cropImage(image, { left: 0, top: 0, width: 48, height: 165 });
    expect(createViews(image, released)[0]).toEqual(createViews(block, planPad(block, config))[0]);
  });

  it("needs N pixels on each side and a whole ratio", () => {
    const thin = { width: 1, height: 50 };
    expect(() => planSubImages(thin, config, { ratio: 2 })).toThrow(OptionsError);
    for (const ratio of [0, 1.5, Number.NaN]) {
      expect(() => planSubImages(image, config, { ratio })).toThrow(OptionsError);
    }
  });
});

describe("odd images", () => {
  it.each([
    [1, 1],
    [1, 5000],
    [5000, 1],
  ])("%ix%i goes through every mode", (width, height) => {
    const image = createImage({ width, height }, [10, 20, 30]);
    const aspects: ImageMode[] = [
      { aspect: "square" },
      { aspect: "pad" },
      { aspect: "anyres", pinpoints: nextPinpoints(336) },
    ];
    for (const mode of aspects) {
      const plan = planViews(image, config, mode);
      const { pixelValues } = processViews(image, plan, config);
      expect(pixelValues.length).toBe(plan.views.length * 3 * 336 * 336);
    }
    expect(processClip(image, config).at(0)).toBeCloseTo((10 / 255 - 0.48145466) / 0.26862954, 5);
  });

  it("padding that would take gigabytes is refused", () => {
    const image = createImage({ width: 1, height: 60_000 });
    const plan = planPad(image, config);
    expect(() => processViews(image, plan, config)).toThrow(LimitError);
  });

  it("a size without pixels, or a plan for another image, is refused", () => {
    const empty = { width: 0, height: 3 };
    for (const mode of modes) {
      expect(() => planViews(empty, config, mode)).toThrow(OptionsError);
    }
    const plan = planClip({ width: 8, height: 8 }, config);
    const other = createImage({ width: 8, height: 9 });
    expect(() => processViews(other, plan, config)).toThrow(/plan is for an image of 8x8, got 8x9/);
  });
});

describe("parseImageMode", () => {
  it("reads the config fields of released models", () => {
    const text = "[(336, 672), (672, 336)]";
    const pinpoints = nextPinpoints(336).slice(0, 2);
    expect(parseImageMode("anyres", text)).toEqual({ aspect: "anyres", pinpoints });
    expect(
      parseImageMode("anyres", [
        [336, 672],
        [672, 336],
      ]),
    ).toEqual({ aspect: "anyres", pinpoints });
    expect(parseImageMode("pad")).toEqual({ aspect: "pad" });
    expect(parseImageMode(null)).toEqual({ aspect: "square" });
  });

  it.each([
    ["anyres_max_9", undefined],
    ["anyres", undefined],
    ["anyres", "[(336, 672"],
    ["anyres", [[336]]],
    ["anyres", [[336, -1]]],
    ["anyres", []],
  ])("refuses %j with pinpoints %j", (aspect, pinpoints) => {
    expect(() => parseImageMode(aspect, pinpoints)).toThrow(ModelConfigError);
  });

  it("pinpoints that tiles do not divide are refused", () => {
    const run = () => planAnyres({ width: 9, height: 9 }, config, [{ width: 336, height: 500 }]);
    expect(run).toThrow(/multiples of the tile of 336 pixels, got 336x500/);
  });
});
