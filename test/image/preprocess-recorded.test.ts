import { describe, expect, it } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { producePreprocessed } from "../../src/image/preprocess-recorded.js";
import type { TensorData } from "../../src/tensor-data.js";
import { loadRecorded, readJson } from "../support/recorded-preprocessing.js";

const largestDifference = (ours: TensorData, theirs: TensorData): number => {
  let largest = 0;
  for (let i = 0; i < theirs.data.length; i++) {
    const difference = Math.abs(Number(ours.data[i]) - Number(theirs.data[i]));
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
};

/** Largest allowed difference by the kind of result. Sums of 338688 values are stored in float32. */
const tolerance = (name: string): number => {
  if (name.endsWith("u8")) return 0;
  return name.endsWith("sum") ? 0.01 : 1e-5;
};

const clip = await loadRecorded("preprocess-clip");
const anyres = await loadRecorded("preprocess-anyres");
const settings = {
  clip: { preprocessorConfig: readJson("preprocess-clip/preprocessor_config.json") },
  anyres: { geometry: readJson("preprocess-anyres/geometry.json") },
};

describe.each([
  ["preprocess-clip", clip, settings.clip, 33],
  ["preprocess-anyres", anyres, settings.anyres, 14],
] as const)("%s, recorded with Pillow", (_, { tensors, images }, setting, numTensors) => {
  const ours = producePreprocessed(images, [...tensors.keys()], setting);

  it("is recorded whole", () => expect(tensors.size).toBe(numTensors));

  it.each([...tensors.keys()])("%s is ours too, 8-bit pixels exactly", (name) => {
    const mine = ours.get(name);
    const theirs = tensors.get(name);
    if (!mine || !theirs) throw new Error(`${name} is missing`);
    expect(mine.dtype).toBe(theirs.dtype);
    expect(mine.shape).toEqual(theirs.shape);
    expect(largestDifference(mine, theirs)).toBeLessThanOrEqual(tolerance(name));
  });
});

describe("producePreprocessed", () => {
  it("finds a wrong pixel of the image", () => {
    const image = clip.images.get(0);
    const theirs = clip.tensors.get("0.crop336.u8");
    if (!image || !theirs) throw new Error("fixture is incomplete");
    const data = image.data.slice();
    data[(70 * 200 + 100) * 3] ^= 0x80;
    const images = new Map([[0, { ...image, data }]]);
    const ours = producePreprocessed(images, ["0.crop336.u8"]).get("0.crop336.u8");
    if (!ours) throw new Error("nothing was produced");
    expect(largestDifference(ours, theirs)).toBeGreaterThan(10);
  });

  it("makes any size, split and row that a name asks for", () => {
    const names = [
      "3.crop17.u8",
      "3.split3x3.pad14.pixel_values",
      "3.anyres8.u8",
      "3.pad9.pixel_values_rows_0_8",
      "3.split2x2.crop7.pixel_values_rows_6",
    ];
    const produced = producePreprocessed(clip.images, names);
    expect(names.map((name) => produced.get(name)?.shape)).toEqual([
      [17, 17, 3],
      [10, 3, 14, 14],
      [5, 8, 8, 3],
      [3, 2, 9],
      [5, 3, 1, 7],
    ]);
  });

  it.each([
    ["0.crop336", "names are like"],
    ["0.split2x3.crop56.u8", "names are like"],
    ["0.split2x2.anyres56.u8", "names are like"],
    ["0.crop336.median", "results are"],
    ["0.crop56.pixel_values_rows_56", "rows are below the height 56"],
    ["9.crop336.u8", "every image named has its file"],
  ])("refuses %s", (name, reason) => {
    const run = () => producePreprocessed(clip.images, [name]);
    expect(run).toThrow(OptionsError);
    expect(run).toThrow(reason);
  });

  it("refuses a tiled image that geometry.json does not list", () => {
    const run = () => producePreprocessed(anyres.images, ["2.anyres336.u8"], settings.anyres);
    expect(run).toThrow(/got none for image 2 at tile 336/);
  });
});
