import { createStopMatcher } from "../text/stop-strings.js";
import { createStreamingDecoder } from "../text/streaming-decoder.js";
import type { Tokenizer } from "../text/tokenizer.js";

/** Text of one answer as its tokens come, up to a stop string. */
export type TextStream = {
  /** Takes a token; returns the text that is certain, and whether a stop string ended the answer. */
  push(id: number): { readonly text: string; readonly stop?: string };
  /** Ends the stream; returns what was held back. */
  finish(): string;
};

export const createTextStream = (tokenizer: Tokenizer, stops: readonly string[]): TextStream => {
  const decoder = createStreamingDecoder(tokenizer, { skipSpecialTokens: true });
  const matcher = createStopMatcher(stops);
  return {
    push: (id) => matcher.push(decoder.push(id)),
    finish: () => {
      const { text, stop } = matcher.push(decoder.finish());
      return stop === undefined ? text + matcher.finish() : text;
    },
  };
};
