import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LimitError, OptionsError, VideoDecodeError } from "../../src/errors.js";
import type { RgbImage } from "../../src/image/image.js";
import { openVideo } from "../../src/video/decode-video.node.js";
import { rotateImage } from "../../src/video/rotate.js";
import type { VideoSource } from "../../src/video/video-source.js";
import { fixturePath } from "../support/recorded-preprocessing.js";

const file = (name: string) => fixturePath(`video/${name}`);
const specifier: string = "@napi-rs/webcodecs";
const hasWebCodecs = await import(specifier).then(
  () => true,
  () => false,
);
const hasFfmpeg = ["ffmpeg", "ffprobe"].every(
  (program) => spawnSync(program, ["-version"]).error === undefined,
);
if (!hasFfmpeg) process.stderr.write("skipped: ffmpeg and ffprobe are not on the PATH\n");
if (!hasWebCodecs) process.stderr.write(`skipped: ${specifier} is not installed\n`);

const collect = async (source: VideoSource, indices: readonly number[]): Promise<RgbImage[]> => {
  const images: RgbImage[] = [];
  for await (const image of source.readFrames(indices)) images.push(image);
  return images;
};

/** Level of the left half, which names the frame: frame k has 20 + 18 k. */
const readLevel = ({ width, height, data }: RgbImage): number =>
  data[((height >> 1) * width + (width >> 2)) * 3 + 1];
const frameNumber = (image: RgbImage): number => Math.round(Math.abs(readLevel(image) - 20) / 18);
const all = Array.from({ length: 12 }, (_, index) => index);

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-video-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const decoders = [
  ["ffmpeg", hasFfmpeg],
  ["webcodecs", hasWebCodecs],
] as const;

describe.each(decoders)("decoded by %s", (decoder, isHere) => {
  describe.skipIf(!isHere).each(["clip.mp4", "clip.webm"])("%s", (name) => {
    it("has the facts of its header", async () => {
      const source = await openVideo(file(name), { decoder });
      const { frameCount, width, height, skippedFiles } = source;
      expect({ frameCount, width, height, skippedFiles }).toEqual({
        frameCount: 12,
        width: 48,
        height: 32,
        skippedFiles: [],
      });
      expect(source.decoder).toBe(decoder);
      expect(source.frameRate).toBeCloseTo(4, 5);
      expect(source.durationSeconds).toBeCloseTo(3, 2);
      await source.close();
    });

    it.each([
      ["every frame", all],
      ["some, with gaps and repeats", [0, 3, 3, 3, 7, 11, 11]],
      ["none", []],
    ])("gives %s in the order shown, though coded otherwise", async (_, indices) => {
      const source = await openVideo(file(name), { decoder });
      const images = await collect(source, indices);
      expect(images.map(frameNumber)).toEqual(indices);
      // Lossy coding and the conversion from YUV: within 4 of 255 levels on a flat area.
      for (const image of images) {
        expect(Math.abs(readLevel(image) - (20 + 18 * frameNumber(image)))).toBeLessThanOrEqual(4);
        expect(image.data.length).toBe(48 * 32 * 3);
      }
      await source.close();
    });

    it("can be read again, and left in the middle", async () => {
      const source = await openVideo(file(name), { decoder });
      for await (const image of source.readFrames(all)) {
        if (frameNumber(image) === 2) break;
      }
      expect((await collect(source, [1, 8])).map(frameNumber)).toEqual([1, 8]);
      await source.close();
    });

    it("refuses numbers that fall, lie outside or are not whole", async () => {
      const source = await openVideo(file(name), { decoder });
      for (const indices of [[12], [-1], [3, 2], [0.5]]) {
        await expect(collect(source, indices)).rejects.toThrow(OptionsError);
      }
      await source.close();
    });
  });

  describe.skipIf(!isHere)("and other files", () => {
    it("a rotated video is upright, as wide as it is shown", async () => {
      const [plain, rotated] = await Promise.all(
        ["clip.mp4", "rotated.mp4"].map((name) => openVideo(file(name), { decoder })),
      );
      expect([rotated.width, rotated.height]).toEqual([32, 48]);
      const [expected] = await collect(plain, [5]);
      const [turned] = await collect(rotated, [5]);
      expect([turned.width, turned.height]).toEqual([32, 48]);
      // Display matrices turn anticlockwise: 90 there is 270 clockwise.
      const upright = rotateImage(expected, 270);
      const largest = upright.data.reduce(
        (max, level, i) => Math.max(max, Math.abs(level - turned.data[i])),
        0,
      );
      expect(largest).toBeLessThanOrEqual(3);
      await Promise.all([plain.close(), rotated.close()]);
    });

    it("a file cut off inside gives the frames before the cut or an error, and never hangs", async () => {
      const bytes = readFileSync(file("clip.webm"));
      const path = join(folder, `cut-${decoder}.webm`);
      writeFileSync(path, bytes.subarray(0, bytes.length - 300));
      const read = async () => {
        const source = await openVideo(path, { decoder });
        return collect(source, [0, source.frameCount - 1]);
      };
      const outcome = await read().then(
        (images) => images.map((image) => image.width),
        (error: unknown) => error instanceof VideoDecodeError,
      );
      expect([true, [48, 48]]).toContainEqual(outcome);
    });

    it.each([
      ["sound alone", () => file("sound.m4a")],
      [
        "an MP4 cut in its header",
        () => {
          const path = join(folder, "cut.mp4");
          writeFileSync(path, readFileSync(file("clip.mp4")).subarray(0, 600));
          return path;
        },
      ],
      ["text", () => file("frames/notes.txt")],
    ])("%s is a VideoDecodeError", async (_, path) => {
      await expect(openVideo(path(), { decoder })).rejects.toThrow(VideoDecodeError);
    });

    it("frames above maxPixels are a LimitError", async () => {
      const refused = openVideo(file("clip.mp4"), { decoder, maxPixels: 48 * 32 - 1 });
      await expect(refused).rejects.toThrow(LimitError);
    });
  });
});

describe.each(["clip.gif", "clip.webp"])("the animation %s", (name) => {
  it("needs no video decoder and is exact", async () => {
    const source = await openVideo(file(name));
    const { decoder, frameCount, width, height } = source;
    expect({ decoder, frameCount, width, height }).toEqual({
      decoder: "animation",
      frameCount: 12,
      width: 48,
      height: 32,
    });
    const images = await collect(source, [...all, 11]);
    expect(images.map(readLevel)).toEqual([...all, 11].map((k) => 20 + 18 * k));
    expect((await collect(source, [4, 9])).map(frameNumber)).toEqual([4, 9]);
  });

  it("its delays give the duration", async () => {
    const source = await openVideo(file(name));
    const seconds = name === "clip.gif" ? 3 : 3.25;
    expect(source.durationSeconds).toBeCloseTo(seconds, 6);
    expect(source.frameRate).toBeCloseTo(12 / seconds, 6);
  });

  it("cut off, it is refused", async () => {
    const path = join(folder, name);
    writeFileSync(path, readFileSync(file(name)).subarray(0, 15));
    await expect(openVideo(path)).rejects.toThrow(VideoDecodeError);
  });
});

describe("a folder of frames", () => {
  it("is sorted by number, at 3 frames a second, and names what it left out", async () => {
    const source = await openVideo(file("frames"));
    const { decoder, frameCount, frameRate, skippedFiles } = source;
    expect({ decoder, frameCount, frameRate, skippedFiles }).toEqual({
      decoder: "folder",
      frameCount: 4,
      frameRate: 3,
      skippedFiles: ["notes.txt"],
    });
    const images = await collect(source, [0, 1, 1, 2, 3]);
    expect(images.map(frameNumber)).toEqual([0, 1, 1, 2, 10]);
  });

  it("takes another rate, which must be above 0", async () => {
    const source = await openVideo(file("frames"), { framesPerSecond: 2 });
    expect(source.durationSeconds).toBe(2);
    await expect(openVideo(file("frames"), { framesPerSecond: 0 })).rejects.toThrow(OptionsError);
  });

  it("without images it is refused", async () => {
    const empty = mkdtempSync(join(folder, "empty-"));
    await expect(openVideo(empty)).rejects.toThrow(/holds image files/);
  });
});

describe("openVideo", () => {
  it("refuses a path to nothing", async () => {
    const refused = openVideo(join(folder, "none.mp4"));
    await expect(refused).rejects.toThrow(VideoDecodeError);
    await expect(refused).rejects.toThrow(/none\.mp4/);
  });

  it("without any decoder says what to install", async () => {
    const path = process.env.PATH;
    process.env.PATH = folder;
    try {
      const refused = openVideo(file("clip.mp4"), { decoder: "ffmpeg" });
      await expect(refused).rejects.toThrow(
        /Install ffmpeg, or run `npm install @napi-rs\/webcodecs`/,
      );
    } finally {
      process.env.PATH = path;
    }
  });

  it.skipIf(!hasFfmpeg || hasWebCodecs)("says which decoder auto took", async () => {
    const source = await openVideo(file("clip.mp4"));
    expect(source.decoder).toBe("ffmpeg");
    const refused = openVideo(file("clip.mp4"), { decoder: "webcodecs" });
    await expect(refused).rejects.toThrow(/npm install @napi-rs\/webcodecs/);
  });
});
