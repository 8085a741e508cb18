/** The image of a training sample as the vision tower reads it, from its file or its bytes. */
import type { ConversationSample, MediaReference } from "../data/conversation-sample.js";
import { OptionsError, RecordError } from "../errors.js";
import { decodeImage } from "../image/decode.node.js";
import type { DecodeOptions } from "../image/decode-options.js";
import type { RgbImage } from "../image/image.js";
import type { ImageProcessing } from "../systems/image-processing.js";
import type { SampleViews } from "./conversation-batches.js";

export type PixelLoader = (sample: ConversationSample) => Promise<SampleViews>;

export type PixelLoaderOptions = {
  readonly decode?: DecodeOptions;
  /**
   * Bytes of decoded images to keep for later epochs, the one used last kept longest; default 256 MiB, 0 for none. Decoding
   * a 96-pixel PNG takes four times as long as making its views.
   */
  readonly cacheBytes?: number;
};

/** Decoded image files, at most `maxBytes` of pixels. */
const createImageCache = (maxBytes: number) => {
  const images = new Map<string, RgbImage>();
  let numBytes = 0;
  const drop = (path: string, image: RgbImage) => {
    images.delete(path);
    numBytes -= image.data.byteLength;
  };
  return {
    get: (path: string): RgbImage | undefined => {
      const image = images.get(path);
      if (image === undefined) return undefined;
      // Last in the order again.
      images.delete(path);
      images.set(path, image);
      return image;
    },
    add: (path: string, image: RgbImage) => {
      const known = images.get(path);
      if (known) drop(path, known);
      if (image.data.byteLength > maxBytes) return;
      images.set(path, image);
      numBytes += image.data.byteLength;
      for (const [oldest, other] of images) {
        if (numBytes <= maxBytes) break;
        drop(oldest, other);
      }
    },
  };
};

/**
 * Decodes an image of a sample, from its file, its bytes, or by rendering it. The loader throws ImageDecodeError for a
 * file that is none and LimitError above the limits of `decode`.
 *
 * @throws OptionsError for `cacheBytes` below 0.
 */
export const createImageLoader = ({
  decode,
  cacheBytes = 256 * 2 ** 20,
}: PixelLoaderOptions = {}): ((medium: MediaReference) => Promise<RgbImage>) => {
  if (!(cacheBytes >= 0))
    throw new OptionsError(
      `createPixelLoader: cacheBytes must be at least 0, got ${cacheBytes}. Leave it out for the default.`,
    );
  const cache = createImageCache(cacheBytes);
  const decodeFile = async (path: string): Promise<RgbImage> => {
    const known = cache.get(path);
    if (known) return known;
    const image = await decodeImage(path, decode);
    cache.add(path, image);
    return image;
  };
  return (medium) => {
    if ("render" in medium) return medium.render();
    return "bytes" in medium ? decodeImage(medium.bytes, decode) : decodeFile(medium.path);
  };
};

/**
 * Decodes a sample's one image and makes its views, [V, 3, H, W], with their plan. The loader throws RecordError for a
 * sample without exactly one image, and as `createImageLoader`.
 *
 * @throws OptionsError for `cacheBytes` below 0.
 */
export const createPixelLoader = (
  processing: Pick<ImageProcessing, "planImage" | "processImage">,
  options?: PixelLoaderOptions,
): PixelLoader => {
  const open = createImageLoader(options);
  return async ({ media }) => {
    const [medium] = media;
    if (media.length !== 1 || medium.type !== "image")
      throw new RecordError(
        `loadPixels: a sample must have one image, got ${media.map(({ type }) => type).join(", ") || "none"}. Leave it out.`,
      );
    const image = await open(medium);
    return processing.processImage(image, processing.planImage(image));
  };
};
