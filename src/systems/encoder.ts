import type { Graph, Session } from "../graph/index.js";
import type { ImagePlan } from "../image/view-plan.js";
import type { TensorData } from "../tensor-data.js";
import type { TokenChoice, TokenOptions, TokenRoute } from "./token-choice.js";

/** An image as the vision tower takes it. */
export type PixelViews = {
  /** [V, 3, side, side], or views of several sizes as one row of patches, [1, 3, P, N·P]. */
  readonly pixels: TensorData<"float32">;
  readonly plan: ImagePlan;
  /** Equal for equal pixels; what was computed of them may then be used again. */
  readonly key: string;
};

/** What stands behind one placeholder of a prompt. */
export type MediaInput = {
  /** What is asked of the tokens of the image, or of every frame. */
  readonly choice?: TokenChoice;
} & (
  | { readonly kind: "image"; readonly views: PixelViews }
  | {
      readonly kind: "video";
      readonly numFrames: number;
      /** Frames in time order, each an image of its own; read once for every prompt. */
      readonly frames: () => AsyncIterable<PixelViews>;
    }
);

export type EncodeOptions = {
  readonly signal?: AbortSignal;
  /** Which places of the prompt are earlier answers of the model. */
  readonly isAnswer?: readonly boolean[];
  /** Called after each image or frame, with how many are done. */
  readonly onProgress?: (done: number, total: number) => void;
};

/** A prompt as the language model reads it. */
export type EncodedPrompt = {
  readonly embeddings: TensorData<"float32">; // [1, T, D]
  /** Tokens that each image or video takes, in order. */
  readonly visualTokens: readonly number[];
  /** How many images or frames were found in the cache instead of being encoded. */
  readonly cachedViews: number;
  /** How many tokens were chosen for each image, or each frame of a video, where there was a choice. */
  readonly routes?: readonly (readonly TokenRoute[])[];
  readonly timings: {
    readonly visionMs: number;
    readonly fusionMs: number;
    /** Of `visionMs`, what the router took, where there is one. */
    readonly routerMs?: number;
  };
};

/** The part of a system between pixels and the language model. */
export type Encoder = {
  /**
   * Embeds a prompt. `ids` are token ids with `imagePlaceholderId` where each of `media` goes, or for
   * systems in slices each of their views. Throws `PromptError` when they do not fit each other or the
   * method.
   */
  encodePrompt(
    ids: readonly number[],
    media: readonly MediaInput[],
    options?: EncodeOptions,
  ): Promise<EncodedPrompt>;
  /**
   * Tokens that an image of this plan will take: exactly what `encodePrompt` then produces, or where a
   * router chooses the most that it may.
   */
  countImageTokens(plan: ImagePlan, choice?: TokenChoice): number;
  /**
   * Tokens of every view of a plan, for systems whose prompts have a placeholder for each view and
   * markers around it; absent where an image is one placeholder.
   */
  readonly countViewTokens?: (plan: ImagePlan, choice?: TokenChoice) => readonly number[];
  /** Tokens that a video of so many frames of this plan will take. */
  countVideoTokens(plan: ImagePlan, numFrames: number, choice?: TokenChoice): number;
  /**
   * What there is to choose for an image of this plan; absent where images always take the same
   * tokens. Throws `OptionsError` for a choice that the system does not have.
   */
  readonly tokenOptions?: (plan: ImagePlan, choice?: TokenChoice) => TokenOptions;
};

/** Opens a graph of a loaded model. */
export type OpenGraph = (graph: Graph) => Promise<Session>;

/** What an encoder is made with. */
export type EncoderContext = {
  readonly open: OpenGraph;
  /** Bytes of image features to keep for prompts about the same images. */
  readonly featureCacheBytes: number;
  /** Longest prompt that will be asked for, in tokens. */
  readonly maxPromptTokens: number;
};

/** Opens a graph when it is first needed, and once. */
export const openLazily = (open: OpenGraph, makeGraph: () => Graph): (() => Promise<Session>) => {
  let opened: Promise<Session> | undefined;
  return () => {
    opened ??= open(makeGraph());
    return opened;
  };
};
