import { PromptError } from "../errors.js";
import type { Rect, RgbImage, Size } from "../image/image.js";
import { viewBox } from "../image/view-box.js";
import type { ImagePlan, ViewPlan } from "../image/view-plan.js";
import type { Encoder, MediaInput, PixelViews } from "../systems/encoder.js";
import {
  createImageProcessing,
  type ImageProcessorConfig,
  type ProcessedImage,
} from "../systems/image-processing.js";
import type { SystemConfig } from "../systems/system.js";
import type { TokenChoice, TokenOptions, TokenRoute } from "../systems/token-choice.js";
import { expandPrompt, type MediumLayout, type SliceLayoutOptions } from "../text/slice-layout.js";
import type { Tokenizer } from "../text/tokenizer.js";
import { type FramePlan, type FrameSamplingOptions, planFrames } from "../video/frame-sampling.js";
import type { VideoSource } from "../video/video-source.js";
import type { TokenisedPrompt } from "./prompt.js";

/** An image or a video of a conversation. */
export type Media = {
  /** What is asked of the tokens of the image, or of every frame; the model's own choice when absent. */
  readonly choice?: TokenChoice;
} & (
  | { readonly type: "image"; readonly image: RgbImage }
  | {
      readonly type: "video";
      readonly video: VideoSource;
      readonly sampling?: FrameSamplingOptions;
    }
);

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
  /** Tokens of the language model; before a router has chosen, the most that it may choose. */
  readonly tokens: number;
  /** What there is to choose for the image, or each frame, where the model has granularities. */
  readonly tokenOptions?: TokenOptions;
  /** What was chosen, for the image or each frame in turn; absent before anything has run. */
  readonly routes?: readonly TokenRoute[];
  readonly frames?: {
    readonly sampled: number;
    readonly wanted: number;
    readonly total: number;
    readonly isCapped: boolean;
  };
};

/** Reports with what the encoder chose; they stay as they are where there was no choice. */
export const withRoutes = (
  reports: readonly MediaReport[],
  routes: readonly (readonly TokenRoute[])[] = [],
): MediaReport[] =>
  reports.map((report, index) => {
    const own = routes[index] ?? [];
    if (own.length === 0) return report;
    return { ...report, tokens: own.reduce((sum, { tokens }) => sum + tokens, 0), routes: own };
  });

/** A medium ready for the encoder, with its report. */
export type PreparedMedia = { readonly input: MediaInput; readonly report: MediaReport };

/** Plans and prepares media for one loaded model. */
export type MediaPreparation = {
  plan(media: Media): MediaReport;
  prepare(media: Media): Promise<PreparedMedia>;
  /**
   * The prompt with markers around the views of each medium and a placeholder for every view; absent
   * for systems that write none. Throws `TokenizerError` for a vocabulary without the markers.
   */
  readonly layOut?: (
    prompt: TokenisedPrompt,
    media: readonly Media[],
    tokenizer: Pick<Tokenizer, "encode" | "idOf">,
  ) => TokenisedPrompt;
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

/** Markers of a system in slices, and whether it numbers its images. */
const layoutOptions = (
  config: SystemConfig,
  processor: ImageProcessorConfig,
): SliceLayoutOptions => ({
  ...(config.system === "llava-uhd" && { markers: config.markers }),
  ...("usesImageIds" in processor && { usesImageIds: processor.usesImageIds }),
});

/**
 * Media preparation for a system: its processor, how it lays out images, and how it takes frames.
 * Throws `ModelConfigError` when the processor does not belong to the system.
 */
export const createMediaPreparation = (
  config: SystemConfig,
  processor: ImageProcessorConfig,
  encoder: Encoder,
): MediaPreparation => {
  const processing = createImageProcessing(config, processor);

  const viewsOf = async ({ pixels, plan }: ProcessedImage): Promise<PixelViews> => ({
    pixels,
    plan,
    key: await keyOf(pixels.data),
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
          box: {
            left: box.left * x,
            top: box.top * y,
            width: box.width * x,
            height: box.height * y,
          },
        }),
      };
    });

  const optionsOf = (plan: ImagePlan, choice?: TokenChoice): Pick<MediaReport, "tokenOptions"> => {
    const tokenOptions = encoder.tokenOptions?.(plan, choice);
    return tokenOptions === undefined ? {} : { tokenOptions };
  };

  const planVideo = (video: VideoSource, choice?: TokenChoice, sampling?: FrameSamplingOptions) => {
    const frames: FramePlan = planFrames(
      { frameCount: video.frameCount, frameRate: video.frameRate },
      sampling,
    );
    const plan = processing.planFrame(sizeOf(video), choice);
    const report: MediaReport = {
      type: "video",
      size: sizeOf(video),
      views: reportViews(plan, video),
      tokens: encoder.countVideoTokens(plan, frames.indices.length, choice),
      ...optionsOf(plan, choice),
      frames: {
        sampled: frames.indices.length,
        wanted: frames.numWanted,
        total: frames.frameCount,
        isCapped: frames.isCapped,
      },
    };
    return { frames, plan, report };
  };

  const planImage = (image: Size, choice?: TokenChoice) => {
    const plan = processing.planImage(sizeOf(image), choice);
    const report: MediaReport = {
      type: "image",
      size: sizeOf(image),
      views: reportViews(plan, image),
      tokens: encoder.countImageTokens(plan, choice),
      ...optionsOf(plan, choice),
    };
    return { plan, report };
  };

  const prepare = async (media: Media): Promise<PreparedMedia> => {
    const { choice } = media;
    const asked = choice === undefined ? {} : { choice };
    if (media.type === "image") {
      const { plan, report } = planImage(media.image, choice);
      const views = await viewsOf(processing.processImage(media.image, plan));
      return { input: { kind: "image", views, ...asked }, report };
    }
    const { video } = media;
    const { frames, report } = planVideo(video, choice, media.sampling);
    async function* read(): AsyncGenerator<PixelViews> {
      const images = video.readFrames(frames.indices);
      for await (const frame of processing.processFrames(images, choice)) yield viewsOf(frame);
    }
    const numFrames = frames.indices.length;
    return { input: { kind: "video", numFrames, frames: read, ...asked }, report };
  };

  const { countViewTokens } = encoder;
  const layoutOf = (media: Media): MediumLayout => {
    const imageLayout = (plan: ImagePlan) => ({
      viewTokens: countViewTokens?.(plan, media.choice) ?? [],
      grid: plan.grid,
    });
    if (media.type === "image") {
      return { type: "image", image: imageLayout(planImage(media.image, media.choice).plan) };
    }
    const { frames, plan } = planVideo(media.video, media.choice, media.sampling);
    return { type: "video", frames: frames.indices.map(() => imageLayout(plan)) };
  };

  const layOut: MediaPreparation["layOut"] = (prompt, media, tokenizer) => {
    const options = layoutOptions(config, processor);
    const { ids, places } = expandPrompt(prompt.ids, media.map(layoutOf), tokenizer, options);
    return { ...prompt, ids, isAnswer: places.map((place) => prompt.isAnswer[place]) };
  };

  return {
    plan: (media) =>
      media.type === "image"
        ? planImage(media.image, media.choice).report
        : planVideo(media.video, media.choice, media.sampling).report,
    prepare,
    ...(countViewTokens && { layOut }),
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
