import type { GenerateOptions } from "../../generate/answer.js";
import type { ChatMessage } from "../../text/chat-message.js";
import type { LookOptions, VideoSampling } from "./request-schema.js";

/** Where a medium comes from. */
export type MediaSource =
  | { readonly type: "url"; readonly url: string }
  | { readonly type: "base64"; readonly data: string }
  | { readonly type: "upload"; readonly id: string }
  /** Sent before under this name by the same client. */
  | { readonly type: "uuid"; readonly uuid: string };

/** An image or video of a request, before its bytes have been looked for. */
export type MediaPart = {
  readonly kind: "image" | "video" | "any";
  readonly source: MediaSource;
  readonly look: LookOptions;
  readonly sampling: VideoSampling;
  /** Keep the medium under this name. */
  readonly uuid?: string;
  /** The field, for errors. */
  readonly param: string;
};

/** A message whose media are numbers in the request's list of media. */
export type AskedMessage = {
  readonly role: ChatMessage["role"];
  readonly content: readonly (
    | { readonly type: "text"; readonly text: string }
    | { readonly type: "media"; readonly index: number }
  )[];
};

/** What is asked, in whichever form it came. */
export type AskedRequest = {
  readonly model: string;
  readonly messages: readonly AskedMessage[];
  readonly media: readonly MediaPart[];
  readonly options: Omit<GenerateOptions, "signal" | "onProgress">;
  readonly isStream: boolean;
};

type WireOptions = {
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly top_k?: number | null;
  readonly min_p?: number | null;
  readonly repetition_penalty?: number | null;
  readonly seed?: number | null;
};

/** A field of options, left out where nothing was given. */
export const optionOf = <Key extends string, Value>(key: Key, value: Value | null | undefined) =>
  (value === undefined || value === null ? {} : { [key]: value }) as {
    readonly [K in Key]?: Value;
  };

/** The library's options of the fields that both forms have. */
export const samplingOptionsOf = (wire: WireOptions): AskedRequest["options"] => ({
  ...optionOf("temperature", wire.temperature),
  ...optionOf("topP", wire.top_p),
  ...optionOf("topK", wire.top_k),
  ...optionOf("minP", wire.min_p),
  ...optionOf("repetitionPenalty", wire.repetition_penalty),
  ...optionOf("seed", wire.seed),
});
