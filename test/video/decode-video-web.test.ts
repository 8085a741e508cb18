import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hasBrowser, openPage } from "../support/browser-page.js";
import { fixturePath } from "../support/recorded-preprocessing.js";

type Library = typeof import("../../src/video/decode-video-web.js");

let browser: Browser;
let page: Page;

/** Size, facts and the level of the left half of some frames, read in the page. */
const readClip = (name: string, indices: number[], maxPixels?: number) =>
  page.evaluate(
    async ([text, wanted, limit]) => {
      const { library } = globalThis as unknown as { library: Library };
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const options = limit === undefined ? {} : { maxPixels: limit };
      const source = await library.openVideo(new Blob([bytes]), options);
      const levels: number[] = [];
      for await (const { width, height, data } of source.readFrames(wanted)) {
        levels.push(data[((height >> 1) * width + (width >> 2)) * 3 + 1]);
      }
      await source.close();
      const { frameCount, frameRate, width, height } = source;
      return { frameCount, frameRate, width, height, levels };
    },
    [readFileSync(fixturePath(`video/${name}`)).toString("base64"), indices, maxPixels] as const,
  );

describe.skipIf(!hasBrowser)("openVideo in Chromium", () => {
  beforeAll(async () => {
    ({ browser, page } = await openPage("video/decode-video-web.ts"));
  });
  afterAll(() => browser?.close());

  it.each(["clip.mp4", "clip.webm"])("%s gives its frames by number", async (name) => {
    const indices = [0, 3, 3, 6, 11];
    const { levels, ...facts } = await readClip(name, indices);
    expect(facts).toMatchObject({ frameCount: 12, width: 48, height: 32 });
    expect(facts.frameRate).toBeCloseTo(4, 5);
    levels.forEach((level, i) => {
      expect(Math.abs(level - (20 + 18 * indices[i]))).toBeLessThanOrEqual(4);
    });
    expect(levels).toHaveLength(5);
  });

  it("turns a rotated video upright", async () => {
    expect(await readClip("rotated.mp4", [0])).toMatchObject({ width: 32, height: 48 });
  });

  it("refuses sound, and frames above maxPixels", async () => {
    await expect(readClip("sound.m4a", [])).rejects.toThrow(/VideoDecodeError.*no video track/);
    await expect(readClip("clip.mp4", [], 99)).rejects.toThrow(/LimitError/);
  });
});
