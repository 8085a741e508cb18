import type { TokenChoice } from "../systems/token-choice.js";
import type { ChatMessage } from "../text/chat-message.js";
import type { Media, MediaReport } from "./media.js";
import type { PromptOptions } from "./prompt.js";
import type { SamplingOptions } from "./sampling.js";

export type GenerateOptions = SamplingOptions &
  PromptOptions & {
    /** Most tokens of the answer; default 512, and never more than the context has room for. */
    readonly maxTokens?: number;
    /** Texts that end the answer, besides the template's own; they are not part of it. */
    readonly stopStrings?: readonly string[];
    /** Token ids that end the answer, besides the model's own. */
    readonly stopIds?: readonly number[];
    /** What is asked of the tokens of images and frames that ask for nothing themselves. */
    readonly choice?: TokenChoice;
    /** Aborting stops within one step; the generator throws the signal's reason. */
    readonly signal?: AbortSignal;
    /** Called after each image or frame. */
    readonly onProgress?: (done: number, total: number) => void;
  };

export type GenerateRequest = GenerateOptions & {
  readonly messages: readonly ChatMessage[];
  /** Images and videos of the messages' media parts, in order. */
  readonly media?: readonly Media[];
  /** Requests use what earlier ones left in the prefix cache within one scope only; default "". */
  readonly cacheScope?: string;
};

export type FinishReason =
  /** An end token, or a stop string. */
  | "stop"
  /** `maxTokens`, or the end of the context. */
  | "length";

export type Usage = {
  readonly promptTokens: number;
  readonly textTokens: number;
  readonly imageTokens: number;
  readonly videoTokens: number;
  /** Prompt tokens that an earlier turn had left in the cache. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
};

export type AnswerTimings = {
  readonly visionMs: number;
  readonly fusionMs: number;
  /** Of `visionMs`, what a router took, where one was asked. */
  readonly routerMs?: number;
  readonly prefillMs: number;
  /** From the request to the first token. */
  readonly firstTokenMs: number;
  readonly decodeMs: number;
  readonly tokensPerSecond: number;
};

/** A finished answer, with everything that was done for it. */
export type Answer = {
  readonly text: string;
  readonly ids: readonly number[];
  readonly finishReason: FinishReason;
  /** The stop string that ended it, if one did. */
  readonly stopString?: string;
  readonly usage: Usage;
  /** Images and frames, and how many of them were found in the feature cache. */
  readonly views: { readonly total: number; readonly cached: number };
  readonly media: readonly MediaReport[];
  readonly timings: AnswerTimings;
  /** The seed in use: pass it to get the same draws again. */
  readonly seed: number;
};

/** What streams while an answer is made; the generator returns the whole `Answer`. */
export type AnswerEvent =
  | {
      readonly type: "start";
      readonly promptTokens: number;
      readonly media: readonly MediaReport[];
    }
  | {
      /** A router has chosen: what the start gave as the most is exact now. */
      readonly type: "routed";
      readonly promptTokens: number;
      readonly media: readonly MediaReport[];
    }
  | { readonly type: "text"; readonly text: string };
