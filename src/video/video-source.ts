import { OptionsError, VideoDecodeError } from "../errors.js";
import type { RgbImage } from "../image/image.js";

/** An opened video: what its header says, and its frames when asked for. */
export type VideoSource = {
  /** What reads it. */
  readonly decoder: "webcodecs" | "ffmpeg" | "animation" | "folder" | "memory";
  readonly frameCount: number;
  /** Frames per second on average. */
  readonly frameRate: number;
  /** As shown, after rotation by the file's metadata. Pixels are taken as square. */
  readonly width: number;
  readonly height: number;
  readonly durationSeconds: number;
  /** Files of a folder that are no images, which were left out. */
  readonly skippedFiles: readonly string[];
  /**
   * The frames with these numbers, in order; numbers never decrease and may repeat.
   * Throws OptionsError for other numbers, VideoDecodeError where the file breaks off.
   */
  readonly readFrames: (indices: readonly number[]) => AsyncGenerator<RgbImage>;
  /** Frees the file. */
  readonly close: () => Promise<void>;
};

/** Throws OptionsError unless `indices` never decrease and lie in 0 to `frameCount` - 1. */
export const checkIndices = (indices: readonly number[], frameCount: number): void => {
  indices.forEach((index, position) => {
    const isInside = Number.isInteger(index) && index >= 0 && index < frameCount;
    if (isInside && index >= (indices[position - 1] ?? 0)) return;
    throw new OptionsError(
      `readFrames: frame numbers are whole, never decrease and lie in 0 to ${frameCount - 1}, got ` +
        `${index} at position ${position}. Use the indices of planFrames.`,
    );
  });
};

/** The error for a file that holds fewer frames than its header promises. */
export const missingFrameError = (name: string, index: number, promised: number) =>
  new VideoDecodeError(
    `readFrames: ${name} holds the ${promised} frames that it promises, got no frame ${index}. ` +
      "The file is cut off or damaged: fetch it again or re-encode it.",
  );
