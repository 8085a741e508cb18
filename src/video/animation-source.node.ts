import { open } from "node:fs/promises";
import sharp from "sharp";
import { LimitError, VideoDecodeError } from "../errors.js";
import { checkArea, defaultMaxPixels, type RgbImage } from "../image/image.js";
import { checkIndices, type VideoSource } from "./video-source.js";

/** Pixels decoded at once: animations are decoded from their start, so few large steps are best. */
const pixelsPerStep = 1 << 24;

/** Browsers show frames of 10 ms or less, which are mistakes, for 100 ms, and so count them here. */
const frameMs = (delay: number): number => (delay > 10 ? delay : 100);

/** Whether a file starts like a GIF or WebP, animated or not. */
export const isAnimation = async (path: string): Promise<boolean> => {
  const file = await open(path, "r");
  try {
    const start = new Uint8Array(12);
    await file.read(start, 0, 12, 0);
    const text = String.fromCharCode(...start);
    return text.startsWith("GIF8") || (text.startsWith("RIFF") && text.endsWith("WEBP"));
  } finally {
    await file.close();
  }
};

async function* readFrames(
  path: string,
  indices: readonly number[],
  facts: Pick<VideoSource, "frameCount" | "width" | "height">,
): AsyncGenerator<RgbImage> {
  const { frameCount, width, height } = facts;
  checkIndices(indices, frameCount);
  const pagesPerStep = Math.max(1, Math.floor(pixelsPerStep / (width * height)));
  let first = -1;
  let pages = 0;
  let pixels = new Uint8Array(0);
  for (const index of indices) {
    if (first < 0 || index >= first + pages) {
      first = index;
      pages = Math.min(pagesPerStep, frameCount - first);
      const input = sharp(path, { page: first, pages, failOn: "error", limitInputPixels: false });
      try {
        pixels = await input.toColourspace("srgb").removeAlpha().raw().toBuffer();
      } catch (error) {
        throw new VideoDecodeError(
          `readFrames: frame ${index} of ${path} can be decoded, got ` +
            `${error instanceof Error ? error.message : error}. Fetch the file again.`,
          { cause: error },
        );
      }
    }
    const frameBytes = width * height * 3;
    const offset = (index - first) * frameBytes;
    yield { width, height, data: pixels.slice(offset, offset + frameBytes) };
  }
}

/**
 * Opens an animated GIF or WebP; one with a single frame is a video of one frame. Each frame is shown
 * whole, on black where the animation is transparent.
 *
 * Throws VideoDecodeError for a file that cannot be read, LimitError above `maxPixels` a frame.
 */
export const openAnimation = async (
  path: string,
  maxPixels = defaultMaxPixels,
): Promise<VideoSource> => {
  try {
    const metadata = await sharp(path, { limitInputPixels: false }).metadata();
    const { width, height, pages: frameCount = 1, delay = [] } = metadata;
    checkArea(`openVideo(${path})`, { width, height }, maxPixels);
    const totalMs = Array.from({ length: frameCount }, (_, i) => frameMs(delay[i] ?? 0));
    const durationSeconds = totalMs.reduce((sum, ms) => sum + ms, 0) / 1000;
    const facts = { frameCount, width, height };
    return {
      decoder: "animation",
      ...facts,
      frameRate: frameCount / durationSeconds,
      durationSeconds,
      skippedFiles: [],
      readFrames: (indices) => readFrames(path, indices, facts),
      close: async () => {},
    };
  } catch (error) {
    if (error instanceof LimitError) throw error;
    throw new VideoDecodeError(
      `openVideo: ${path} is a complete animation, got ` +
        `${error instanceof Error ? error.message : error}. Fetch the file again.`,
      { cause: error },
    );
  }
};
