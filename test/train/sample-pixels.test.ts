import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MediaReference } from "../../src/data/conversation-sample.js";
import { ImageDecodeError, OptionsError, RecordError } from "../../src/errors.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { clipProcessing } from "../../src/systems/image-processing.js";
import { createPixelLoader } from "../../src/train/sample-pixels.node.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "saccade-pixels-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const side = 16;
const processor = { ...clipConfig(side), normalize: null };
const sampleOf = (...media: MediaReference[]) => ({
  id: "",
  messages: [],
  media,
  source: { file: "" },
});
const writeImage = async (name: string, red: number) => {
  const path = join(folder, name);
  const background = { r: red, g: 0, b: 0 };
  await sharp({ create: { width: side, height: side, channels: 3, background } })
    .png()
    .toFile(path);
  return path;
};
const square = clipProcessing(processor, {
  imageMode: { aspect: "square" },
  frameResize: "image",
});

describe("pixels of a sample", () => {
  test("are the same from a file and from its bytes", async () => {
    const path = await writeImage("a.png", 51);
    const load = createPixelLoader(square);
    const { pixels, plan } = await load(sampleOf({ type: "image", path }));
    expect(plan.views).toHaveLength(1);
    expect(pixels.shape).toEqual([1, 3, side, side]);
    expect(pixels.data[0]).toBeCloseTo(0.2, 6);
    const bytes = new Uint8Array(await readFile(path));
    expect(await load(sampleOf({ type: "image", bytes }))).toEqual({ pixels, plan });
  });

  test("need exactly one image, of a file that is one", async () => {
    const load = createPixelLoader(square);
    const path = join(folder, "none.png");
    await expect(load(sampleOf())).rejects.toThrow(RecordError);
    await expect(load(sampleOf({ type: "video", path }))).rejects.toThrow(RecordError);
    await expect(load(sampleOf({ type: "image", path }))).rejects.toThrow(ImageDecodeError);
    expect(() => createPixelLoader(square, { cacheBytes: -1 })).toThrow(OptionsError);
  });
});

describe("the cache of decoded images", () => {
  const imageBytes = side * side * 3;
  /** Which of the files can still be loaded once they are gone, after loading `order`. */
  const keptOf = async (cacheBytes: number, order: readonly number[]) => {
    const paths = await Promise.all([0, 1, 2].map((at) => writeImage(`${at}.png`, at)));
    const load = createPixelLoader(square, { cacheBytes });
    const samples = paths.map((path) => sampleOf({ type: "image", path }));
    for (const at of order) await load(samples[at]);
    for (const path of paths) await rm(path);
    const results = await Promise.allSettled(samples.map((sample) => load(sample)));
    return results.flatMap(({ status }, at) => (status === "fulfilled" ? [at] : []));
  };
  test("keeps as many as fit, those used last", async () => {
    expect(await keptOf(10 * imageBytes, [0, 1, 2])).toEqual([0, 1, 2]);
    expect(await keptOf(2 * imageBytes, [0, 1, 2])).toEqual([1, 2]);
    expect(await keptOf(2 * imageBytes, [0, 1, 0, 2])).toEqual([0, 2]);
    expect(await keptOf(2 * imageBytes - 1, [0, 1, 2])).toEqual([2]);
    expect(await keptOf(0, [0, 1, 2])).toEqual([]);
  });
});
