import { createStopMatcher } from "../text/stop-strings.js";
import { createStreamingDecoder } from "../text/streaming-decoder.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type { FinishReason } from "./answer.js";
import type { Sampler } from "./sampling.js";
import type { SequenceWriter, WrittenToken } from "./sequence-batch.js";

export type AnswerWriterOptions = {
  readonly tokenizer: Tokenizer;
  readonly sampler: Sampler;
  /** Ids before the answer, for the repetition penalty. */
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  /** Ids that end the answer. */
  readonly endIds: ReadonlySet<number>;
  readonly stopStrings: readonly string[];
};

/** One answer as it is written: chooses tokens, turns them into text, and knows when it is over. */
export class AnswerWriter implements SequenceWriter {
  readonly ids: number[] = [];
  text = "";
  /** Set when the answer is over. */
  finishReason: FinishReason | undefined;
  stopString: string | undefined;
  /** When the first and the last token were chosen, by `performance.now()`. */
  firstAtMs = 0;
  lastAtMs = 0;

  private readonly seen: number[];
  private readonly decoder;
  private readonly matcher;

  /** Throws `OptionsError` for an empty stop string. */
  constructor(private readonly options: AnswerWriterOptions) {
    this.seen = [...options.promptIds];
    this.decoder = createStreamingDecoder(options.tokenizer, { skipSpecialTokens: true });
    this.matcher = createStopMatcher(options.stopStrings);
  }

  /** Chooses the next token from `scores` [W]; models pad their vocabulary beyond the tokenizer's. */
  take(scores: Float32Array): WrittenToken {
    const { tokenizer, sampler, endIds, maxTokens } = this.options;
    const id = sampler.choose(scores.subarray(0, tokenizer.vocabularySize), this.seen);
    this.lastAtMs = performance.now();
    if (this.ids.length === 0) this.firstAtMs = this.lastAtMs;
    this.ids.push(id);
    this.seen.push(id);
    const isEnd = endIds.has(id);
    const isFull = this.ids.length >= maxTokens;
    // The end token itself says nothing.
    let text = isEnd ? "" : this.push(this.decoder.push(id));
    if ((isEnd || isFull) && this.stopString === undefined) {
      text += this.push(this.decoder.finish());
      if (this.stopString === undefined) text += this.matcher.finish();
    }
    if (isEnd || this.stopString !== undefined) this.finishReason = "stop";
    else if (isFull) this.finishReason = "length";
    this.text += text;
    return { id, text, isLast: this.finishReason !== undefined };
  }

  /** Text that is certain; what may be the start of a stop string is held back. */
  private push(piece: string): string {
    const { text, stop } = this.matcher.push(piece);
    this.stopString = stop;
    return text;
  }
}
