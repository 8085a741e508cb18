import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { OptionsError, VideoDecodeError } from "../errors.js";
import { decodeImage } from "../image/decode.node.js";
import type { DecodeOptions } from "../image/decode-options.js";
import type { RgbImage } from "../image/image.js";
import { checkIndices, type VideoSource } from "./video-source.js";

/** Frames per second of a folder of frames, as the released code assumes (MVBench's TVQA). */
export const defaultFolderRate = 3;

const isImage = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i;

async function* readFrames(
  paths: readonly string[],
  indices: readonly number[],
  options: DecodeOptions,
): AsyncGenerator<RgbImage> {
  checkIndices(indices, paths.length);
  let last = -1;
  let image: RgbImage | undefined;
  for (const index of indices) {
    if (index !== last || !image) image = await decodeImage(paths[index], options);
    last = index;
    yield image;
  }
}

/**
 * Opens a folder of image files as a video: sorted by name with numbers in their order (frame2 before
 * frame10). Size and frames are read from the files when needed; width and height are the first's.
 *
 * Throws VideoDecodeError for a folder without images, OptionsError for a rate that is not above 0,
 * and what `decodeImage` throws.
 */
export const openFolder = async (
  path: string,
  framesPerSecond = defaultFolderRate,
  options: DecodeOptions = {},
): Promise<VideoSource> => {
  if (!(framesPerSecond > 0 && Number.isFinite(framesPerSecond))) {
    throw new OptionsError(
      `openVideo: framesPerSecond is above 0, got ${framesPerSecond}. ` +
        `Leave it out for ${defaultFolderRate}.`,
    );
  }
  const order = new Intl.Collator("en", { numeric: true });
  const names = (await readdir(path)).sort(order.compare);
  const paths = names.filter((name) => isImage.test(name)).map((name) => join(path, name));
  const skippedFiles = names.filter((name) => !isImage.test(name));
  const [first] = paths;
  if (!first) {
    throw new VideoDecodeError(
      `openVideo: the folder ${path} holds image files, got ${names.length} other files. ` +
        "Name a video file or a folder of frames.",
    );
  }
  const { width, height } = await decodeImage(first, options);
  return {
    decoder: "folder",
    frameCount: paths.length,
    frameRate: framesPerSecond,
    width,
    height,
    durationSeconds: paths.length / framesPerSecond,
    skippedFiles,
    readFrames: (indices) => readFrames(paths, indices, options),
    close: async () => {},
  };
};
