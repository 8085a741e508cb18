import { ModelConfigError, PromptError } from "../errors.js";
import type { ClipProcessorConfig } from "../image/clip-config.js";
import { processViews } from "../image/clip-processor.js";
import type { Rect, RgbImage, Size } from "../image/image.js";
import { planViews } from "../image/image-mode.js";
import { viewBox } from "../image/view-box.js";
import type { ImagePlan, ViewPlan } from "../image/view-plan.js";
import type { Encoder, MediaInput, PixelViews } from "../systems/encoder.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import { float32 } from "../tensor-data.js";
import { type FramePlan, type FrameSamplingOptions, planFrames } from "../video/frame-sampling.js";
import { planFrameViews, processFrames } from "../video/process-frames.js";
import type { VideoSource } from "../video/video-source.js";

/** An image or a video of a conversation. */
export type Media =
  | { readonly type: "image"; readonly image: RgbImage }
  | {
      readonly type: "video";
      readonly video: VideoSource;
      readonly sampling?: FrameSamplingOptions;
    };

/** A view's size as the vision tower sees it, in pixels, and what it shows of the image. */
export type ViewReport = Size & {
  readonly role: ViewPlan["role"];
  /** In pixels of the original image, not rounded; absent where a view shows border only. */
  readonly box?: Rect;
};

/** What is done to an image or video, known before anything runs. */
export type MediaReport = {
  readonly type: "image" | "video";
  /** Size as it came, in pixels. */
  readonly size: Size;
  /** Each view that the vision tower sees (of a frame, for videos). */
  readonly views: readonly ViewReport[];
  /** Tokens of the language model. */
  readonly tokens: number;
  readonly frames?: {
    readonly sampled: number;
    readonly wanted: number;
    readonly total: number;
    readonly isCapped: boolean;
  };
};

/** A medium ready for the encoder, with its report. */
export type PreparedMedia = { readonly input: MediaInput; readonly report: MediaReport };

/** Plans and prepares media for one loaded model. */
export type MediaPreparation = {
  plan(media: Media): MediaReport;
  prepare(media: Media): Promise<PreparedMedia>;
};

const sizeOf = ({ width, height }: Size): Size => ({ width, height });

const hexOf = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

let nextUnhashed = 0;

/** A key of pixels: equal pixels, equal key. Without WebCrypto (plain http pages) none are equal. */
const keyOf = async (values: Float32Array): Promise<string> => {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) return `unhashed ${nextUnhashed++}`;
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return hexOf(await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>));
};

/**
 * Media preparation for a system: its processor, how it lays out images, and how it takes frames.
 * Throws `ModelConfigError` when the processor makes views of another size than the tower reads.
 */
export const createMediaPreparation = (
  config: LlavaConfig,
  processor: ClipProcessorConfig,
  encoder: Encoder,
): MediaPreparation => {
  const side = config.vision.imageSizePx;
  const { crop } = processor;
  if (crop !== null && (crop.width !== side || crop.height !== side)) {
    throw new ModelConfigError(
      `createMediaPreparation: the processor must make views of ${side} px, as the vision tower reads, ` +
        `got ${crop.width}x${crop.height}; check preprocessor_config.json`,
    );
  }
  const frameOptions = { frameResize: config.frameResize, mode: config.imageMode };

  const viewsOf = async (pixelValues: Float32Array, plan: ImagePlan): Promise<PixelViews> => ({
    pixels: float32([plan.views.length, 3, side, side], pixelValues),
    plan,
    key: await keyOf(pixelValues),
  });
  const reportViews = (plan: ImagePlan, size: Size): ViewReport[] =>
    plan.views.map((view) => {
      const box = viewBox(plan, view);
      // A video's frames may be squeezed before they are cut.
      const [x, y] = [size.width / plan.image.width, size.height / plan.image.height];
      const { role, output } = view;
      return {
        ...sizeOf(output),
        role,
        ...(box && {
          box: { left: box.left * x, top: box.top * y, width: box.width * x, height: box.height * y },
        }),
      };
    });

  const planVideo = (video: VideoSource, sampling?: FrameSamplingOptions) => {
    const frames: FramePlan = planFrames(
      { frameCount: video.frameCount, frameRate: video.frameRate },
      sampling,
    );
    const plan = planFrameViews(video, processor, frameOptions);
    const report: MediaReport = {
      type: "video",
      size: sizeOf(video),
      views: reportViews(plan, video),
      tokens: encoder.countVideoTokens(plan, frames.indices.length),
      frames: {
        sampled: frames.indices.length,
        wanted: frames.numWanted,
        total: frames.frameCount,
        isCapped: frames.isCapped,
      },
    };
    return { frames, plan, report };
  };

  const planImage = (image: Size) => {
    const plan = planViews(image, processor, config.imageMode);
    const report: MediaReport = {
      type: "image",
      size: sizeOf(image),
      views: reportViews(plan, image),
      tokens: encoder.countImageTokens(plan),
    };
    return { plan, report };
  };

  const prepare = async (media: Media): Promise<PreparedMedia> => {
    if (media.type === "image") {
      const { plan, report } = planImage(media.image);
      const { pixelValues } = processViews(media.image, plan, processor);
      return { input: { kind: "image", views: await viewsOf(pixelValues, plan) }, report };
    }
    const { video } = media;
    const { frames, plan, report } = planVideo(video, media.sampling);
    async function* read(): AsyncGenerator<PixelViews> {
      const images = video.readFrames(frames.indices);
      for await (const { pixelValues } of processFrames(images, processor, frameOptions)) {
        yield await viewsOf(pixelValues, plan);
      }
    }
    return { input: { kind: "video", numFrames: frames.indices.length, frames: read }, report };
  };

  return {
    plan: (media) =>
      media.type === "image"
        ? planImage(media.image).report
        : planVideo(media.video, media.sampling).report,
    prepare,
  };
};

/** Throws `PromptError` unless the media parts of the messages and the media given are the same row. */
export const checkMediaParts = (
  parts: readonly ("image" | "video")[],
  media: readonly Media[],
): void => {
  const given = media.map(({ type }) => type);
  if (String(parts) !== String(given)) {
    throw new PromptError(
      `generate: the messages' media parts and \`media\` must be the same row, got [${parts}] and [${given}]; give one for each part, in order`,
    );
  }
};
