import { LimitError, OptionsError } from "../../errors.js";
import type { Media } from "../../generate/media.js";
import { decodeImage } from "../../image/decode.node.js";
import type { RgbImage, Size } from "../../image/image.js";
import { resizeBicubic } from "../../image/resize.js";
import { openVideo } from "../../video/decode-video.node.js";
import type { FrameSamplingOptions } from "../../video/frame-sampling.js";
import type { LookOptions, VideoSampling } from "../api/request-schema.js";
import { type TokenChoices, tokenChoiceOf } from "./token-choices.js";
import type { AppliedLook, MediaLimits, ServedMedia } from "./worker-messages.js";

/** An opened medium; `close` frees its file. */
export type OpenedMedia = {
  readonly media: Media;
  readonly look: AppliedLook;
  readonly close: () => Promise<void>;
};

/** An error of one medium, with the field that it came in. */
export class MediaFailure extends Error {
  constructor(
    override readonly cause: unknown,
    readonly param: string,
  ) {
    super(cause instanceof Error ? cause.message : String(cause));
  }
}

/** The size that `min_pixels` and `max_pixels` ask for; the aspect is kept as far as whole sides allow. */
export const boundSize = (
  { width, height }: Size,
  { minPixels = 1, maxPixels = Number.POSITIVE_INFINITY }: LookOptions,
): Size => {
  const area = width * height;
  if (minPixels > maxPixels) {
    throw new OptionsError(
      `openMedia: min_pixels must not be above max_pixels, got ${minPixels} and ${maxPixels}`,
    );
  }
  const wanted = Math.min(Math.max(area, minPixels), maxPixels);
  if (wanted === area) return { width, height };
  const scale = Math.sqrt(wanted / area);
  const round = wanted < area ? Math.floor : Math.ceil;
  return {
    width: Math.max(1, round(width * scale)),
    height: Math.max(1, round(height * scale)),
  };
};

const boundImage = (image: RgbImage, look: LookOptions, maxPixels: number): RgbImage => {
  const size = boundSize(image, look);
  if (size.width * size.height > maxPixels) {
    throw new LimitError(
      `openMedia: an image may have ${maxPixels} pixels, got min_pixels ${look.minPixels}`,
    );
  }
  return size.width === image.width && size.height === image.height
    ? image
    : resizeBicubic(image, size);
};

const samplingOf = (
  { num_frames, fps }: VideoSampling,
  { maxFrames }: MediaLimits,
): FrameSamplingOptions => {
  if (num_frames !== undefined && num_frames > maxFrames) {
    throw new LimitError(
      `openMedia: at most ${maxFrames} frames of a video may be taken, got num_frames ${num_frames}`,
    );
  }
  if (num_frames !== undefined && fps !== undefined) {
    throw new OptionsError("openMedia: num_frames and fps both choose frames; give one of them");
  }
  if (num_frames !== undefined) return { rule: "uniform", numFrames: num_frames, maxFrames };
  return { rule: "per-second", maxFrames, ...(fps !== undefined && { framesPerSecond: fps }) };
};

const openOne = async (
  given: ServedMedia,
  limits: MediaLimits,
  choices: TokenChoices,
): Promise<OpenedMedia> => {
  const { look } = given;
  const choice = tokenChoiceOf(look, choices);
  if (given.kind === "image") {
    const decoded = await decodeImage(given.bytes, { maxPixels: limits.maxPixels });
    const image = boundImage(decoded, look, limits.maxPixels);
    const isResized = image !== decoded;
    return {
      media: { type: "image", image, choice },
      look: {
        asked: look,
        choice,
        ...(isResized && { original: { width: decoded.width, height: decoded.height } }),
      },
      close: async () => {},
    };
  }
  const sampling = samplingOf(given.sampling, limits);
  const video = await openVideo(given.path, { maxPixels: limits.maxPixels });
  if (video.frameCount > limits.maxVideoFrames) {
    await video.close();
    throw new LimitError(
      `openMedia: a video may have ${limits.maxVideoFrames} frames, got ${video.frameCount}; cut it first`,
    );
  }
  return {
    media: { type: "video", video, sampling, choice },
    look: { asked: look, choice },
    close: () => video.close(),
  };
};

export const closeAll = async (opened: readonly OpenedMedia[]): Promise<void> => {
  for (const { close } of opened) await close().catch(() => {});
};

/** Opens the media of a request; nothing stays open when one fails, with a `MediaFailure`. */
export const openMedia = async (
  media: readonly ServedMedia[],
  limits: MediaLimits,
  choices: TokenChoices,
  signal: AbortSignal,
): Promise<OpenedMedia[]> => {
  const opened: OpenedMedia[] = [];
  try {
    for (const given of media) {
      signal.throwIfAborted();
      opened.push(
        await openOne(given, limits, choices).catch((error: unknown) => {
          throw new MediaFailure(error, given.param);
        }),
      );
    }
    return opened;
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
};
