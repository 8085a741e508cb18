/** What is known of an answer besides its text, wherever it was made. */
export type Box = {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
};

/** A view that the vision tower reads; `box` in pixels of the image, null for border only. */
export type SeenView = {
  readonly role: "whole" | "part";
  /** Pixels that the vision tower sees. */
  readonly width: number;
  readonly height: number;
  readonly box: Box | null;
};

export type Route = {
  readonly granularity: number;
  readonly tokens: number;
  readonly chosenBy: string;
  readonly probabilities?: readonly number[];
};

/** An image or video as it is looked at. */
export type SeenMedium = {
  readonly type: "image" | "video";
  readonly width: number;
  readonly height: number;
  /** Tokens of the language model; before a router has chosen the most that it may. */
  readonly tokens: number;
  readonly views: readonly SeenView[];
  readonly granularities: readonly { readonly granularity: number; readonly tokens: number }[];
  readonly routes: readonly Route[];
  /** A router is still to choose: `tokens` is the most that it may. */
  readonly awaitsRouter: boolean;
  readonly frames?: { readonly sampled: number; readonly total: number };
};

/** What a question costs, known before it is answered. */
export type Plan = {
  readonly promptTokens: number;
  readonly visionTokens: number;
  readonly media: readonly SeenMedium[];
  /** Floating-point operations of prompt and answer. */
  readonly flops: number;
  readonly kvBytes: number;
  readonly weightBytes: number;
  readonly peakBytes: number;
};

/** What an answer cost. */
export type Figures = Plan & {
  readonly answerTokens: number;
  /** Prompt tokens that an earlier answer had left in the cache. */
  readonly cachedTokens: number;
  readonly firstTokenMs: number;
  readonly visionMs: number;
  readonly tokensPerSecond: number;
  readonly isCut: boolean;
};
