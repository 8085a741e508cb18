/** What the HTTP side and the threads that hold the models say to each other; plain values only. */
import type { CostReport } from "../../cost/cost-report.js";
import type { Answer, AnswerEvent, GenerateOptions } from "../../generate/answer.js";
import type { LoadModelOptions } from "../../generate/load-model.node.js";
import type { ModelLoad, PromptCount } from "../../generate/model.js";
import type { ErrorReport } from "../../graph/worker-protocol.js";
import type { Size } from "../../image/image.js";
import type { TokenChoice } from "../../systems/token-choice.js";
import type { ChatMessage } from "../../text/chat-message.js";
import type { LookOptions, VideoSampling } from "../api/request-schema.js";
import type { TokenChoices } from "./token-choices.js";

/** Limits that hold while media are read. */
export type MediaLimits = {
  readonly maxPixels: number;
  /** Frames that may be taken of a video. */
  readonly maxFrames: number;
  /** Frames that a video may have. */
  readonly maxVideoFrames: number;
};

/** An image as the bytes of its file, or a video as a file on disk. */
export type ServedMedia =
  | {
      readonly kind: "image";
      readonly bytes: Uint8Array;
      readonly look: LookOptions;
      readonly param: string;
    }
  | {
      readonly kind: "video";
      readonly path: string;
      readonly look: LookOptions;
      readonly sampling: VideoSampling;
      readonly param: string;
    };

/** A request whose media have arrived. */
export type ServedRequest = {
  readonly messages: readonly ChatMessage[];
  readonly media: readonly ServedMedia[];
  readonly options: Omit<GenerateOptions, "signal" | "onProgress">;
  /** Only requests of one scope share what is kept of prompts. */
  readonly cacheScope: string;
};

/** How closely an image was looked at: what was asked, and what of it the model was told. */
export type AppliedLook = {
  readonly asked: LookOptions;
  readonly choice: TokenChoice;
  /** Its size before `min_pixels` or `max_pixels` changed it. */
  readonly original?: Size;
};

/** What a model is, as `/v1/models` needs it. */
export type ServedModelInfo = {
  readonly system: string;
  readonly contextLength: number;
  /** Most images or videos of a conversation; null for any number. */
  readonly maxMedia: number | null;
  readonly choices: TokenChoices;
  /** Tokens of a square image, as a first idea of what images cost. */
  readonly imageTokens: number;
};

/** What a request costs, before it runs: nothing is found in a cache. */
export type ServedCost = Pick<CostReport, "flops" | "bytes"> & {
  /** Patches that the vision tower reads. */
  readonly patches: number;
};

export type ServedCount = PromptCount & {
  readonly cost: ServedCost;
  /** One for each medium. */
  readonly looks: readonly AppliedLook[];
};

export type ServedEvent =
  | (AnswerEvent & { readonly type: "text" })
  | (AnswerEvent & { readonly type: "start" } & {
      readonly cost: ServedCost;
      /** One for each medium. */
      readonly looks: readonly AppliedLook[];
    });

/** An answer with what it cost: a router's choices and the answer's length are known now. */
export type ServedAnswer = Answer & { readonly cost: ServedCost };

export type WorkerStart = {
  readonly path: string;
  readonly options: LoadModelOptions;
  readonly limits: MediaLimits;
};

/** A text as the model reads it. */
export type ServedTokens = {
  readonly ids: readonly number[];
  readonly texts: readonly string[];
  readonly contextLength: number;
};

export type ToWorker =
  | {
      readonly type: "tokenize";
      readonly id: number;
      readonly text: string;
      /** Whether the tokenizer adds what it puts before a text. */
      readonly isWhole: boolean;
    }
  | { readonly type: "ask" | "count"; readonly id: number; readonly request: ServedRequest }
  | { readonly type: "abort"; readonly id: number }
  | { readonly type: "close" };

export type FromWorker =
  | { readonly type: "ready" }
  | { readonly type: "event"; readonly id: number; readonly event: ServedEvent }
  | { readonly type: "answered"; readonly id: number; readonly answer: ServedAnswer }
  | { readonly type: "tokenized"; readonly id: number; readonly tokens: ServedTokens }
  | { readonly type: "counted"; readonly id: number; readonly count: ServedCount }
  | {
      readonly type: "failed";
      /** Absent when the model could not be loaded. */
      readonly id?: number;
      readonly error: ErrorReport;
      readonly param?: string;
    }
  | { readonly type: "load"; readonly load: ModelLoad }
  | { readonly type: "closed" };
