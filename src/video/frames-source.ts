/** A video whose frames are there already. */
import { OptionsError } from "../errors.js";
import type { RgbImage } from "../image/image.js";
import { checkIndices, type VideoSource } from "./video-source.js";

/**
 * Frames of one size as a video source.
 *
 * @throws OptionsError for no frame, frames of different sizes, or a frame rate that is not above 0.
 */
export const createFramesSource = (frames: readonly RgbImage[], frameRate = 1): VideoSource => {
  const [first] = frames;
  if (first === undefined)
    throw new OptionsError("createFramesSource: a video must have a frame, got none. Pass some.");
  const { width, height } = first;
  const other = frames.find((frame) => frame.width !== width || frame.height !== height);
  if (other !== undefined)
    throw new OptionsError(
      `createFramesSource: all frames must be ${width}x${height}, got one of ${other.width}x${other.height}. Resize them.`,
    );
  if (!(frameRate > 0 && Number.isFinite(frameRate)))
    throw new OptionsError(
      `createFramesSource: the frame rate is above 0, got ${frameRate}. Leave it out for 1 a second.`,
    );
  return {
    decoder: "memory",
    frameCount: frames.length,
    frameRate,
    width,
    height,
    durationSeconds: frames.length / frameRate,
    skippedFiles: [],
    readFrames: async function* (indices) {
      checkIndices(indices, frames.length);
      for (const index of indices) yield frames[index];
    },
    close: async () => {},
  };
};
