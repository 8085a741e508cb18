import type { TensorData } from "../tensor-data.js";
import type { Decoder, KeyValueCache } from "./decoder.js";
import type { Sampler } from "./sampling.js";

/** One sequence to continue: a row of the cache and what is still to be read into it. */
export type SequenceStart = {
  readonly row: number;
  /** Embeddings [1, T, D] of the prompt, or of what a cache does not hold of it yet. */
  readonly embeddings: TensorData<"float32">;
  readonly sampler: Sampler;
  /** Ids before the answer, for the repetition penalty. */
  readonly promptIds: readonly number[];
  readonly maxTokens: number;
  /** Ids below this have a meaning; models pad their vocabulary beyond it. */
  readonly numTokens: number;
  /** Ids that end the answer. */
  readonly endIds: ReadonlySet<number>;
};

export type TokenEvent = {
  readonly row: number;
  readonly id: number;
  /** Set with the last token: it was an end id, or the last that was allowed. */
  readonly finish?: "stop" | "length";
};

export type SequenceRun = {
  /** Tokens as they come, all unfinished sequences in turn. */
  readonly tokens: AsyncGenerator<TokenEvent>;
  /** Ends a sequence early (a stop string was found); the others go on. */
  finish(row: number): void;
  /** Time until every prompt had been read. */
  readonly prefillMs: () => number;
};

/**
 * Continues several sequences of one cache together: each prompt is read alone, into its own row, and
 * then all take one token a step. A sequence's tokens do not depend on the others beside it.
 */
export const decodeSequences = (
  decoder: Decoder,
  cache: KeyValueCache,
  starts: readonly SequenceStart[],
  signal?: AbortSignal,
): SequenceRun => {
  const unfinished = new Map(starts.map((start) => [start.row, start]));
  const generated = new Map<number, number[]>(starts.map(({ row }) => [row, []]));
  let prefillMs = 0;

  const take = (start: SequenceStart, scores: Float32Array): TokenEvent => {
    const ids = generated.get(start.row) ?? [];
    const id = start.sampler.choose(scores.subarray(0, start.numTokens), [
      ...start.promptIds,
      ...ids,
    ]);
    ids.push(id);
    const isLast = ids.length >= start.maxTokens || cache.lengths[start.row] >= cache.capacity;
    const finish = start.endIds.has(id) ? "stop" : isLast ? "length" : undefined;
    if (finish !== undefined) unfinished.delete(start.row);
    return { row: start.row, id, finish };
  };

  async function* run(): AsyncGenerator<TokenEvent> {
    const startedMs = performance.now();
    const first: TokenEvent[] = [];
    for (const start of starts) {
      const scores = await decoder.prefill(cache, start.row, start.embeddings, signal);
      first.push(take(start, scores));
    }
    prefillMs = performance.now() - startedMs;
    yield* first;
    while (unfinished.size > 0) {
      signal?.throwIfAborted();
      const last = cache.lengths.map((_, row) =>
        unfinished.has(row) ? generated.get(row)?.at(-1) : undefined,
      );
      const scores = await decoder.step(cache, last);
      for (const start of [...unfinished.values()]) {
        // The consumer may have finished this sequence while it took the others' tokens.
        if (unfinished.has(start.row)) yield take(start, scores[start.row]);
      }
    }
  }
  return {
    tokens: run(),
    finish: (row) => {
      unfinished.delete(row);
    },
    prefillMs: () => prefillMs,
  };
};
