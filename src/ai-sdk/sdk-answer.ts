import type { JSONObject } from "@ai-sdk/provider";

/** What an answer took, in the names of `usage` over HTTP and in process alike. */
export type SdkUsage = {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
};

/** A finished answer. */
export type SdkAnswer = {
  readonly finishReason: "stop" | "length";
  readonly usage: SdkUsage;
  /** What was done to the media and what it cost: `providerMetadata.saccade`. */
  readonly metadata: JSONObject;
};

/** Answers one request: pieces of text as they come, then what it took. */
export type SdkAnswering = AsyncGenerator<string, SdkAnswer>;
