import { float32, type TensorData } from "../tensor-data.js";
import type { Decoder, KeyValueCache } from "./decoder.js";

const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;
const capacityStep = 64;

/**
 * The key-value cache of one conversation, kept between turns. What a new prompt shares with it is
 * found by comparing embeddings, row by row: exact for every method, whatever went into them.
 */
export class PromptCache {
  private cache: KeyValueCache | undefined;
  /** Embeddings of the rows that the cache holds, [length, D]. */
  private rows = new Float32Array(0);

  constructor(
    private readonly decoder: Decoder,
    private readonly width: number,
  ) {}

  /**
   * Makes room for `embeddings` and an answer. Returns the cache, how many rows of the prompt it
   * already holds, and the rest of the prompt.
   */
  async open(
    embeddings: TensorData<"float32">,
    maxTokens: number,
  ): Promise<{ cache: KeyValueCache; cachedTokens: number; rest: TensorData<"float32"> }> {
    const length = embeddings.shape[1];
    // The last token is always computed: its scores start the answer.
    const cachedTokens = Math.min(this.sharedRows(embeddings.data), length - 1);
    const capacity = Math.min(
      roundUp(length + maxTokens, capacityStep),
      this.decoder.contextLength,
    );
    this.cache =
      this.cache === undefined
        ? await this.decoder.createCache(1, capacity)
        : await this.decoder.growCache(this.cache, capacity);
    this.cache.lengths[0] = cachedTokens;
    // Until the answer is complete, no more than this is known to be in the cache.
    this.rows = embeddings.data.slice(0, cachedTokens * this.width);
    const rest = float32(
      [1, length - cachedTokens, this.width],
      embeddings.data.subarray(cachedTokens * this.width),
    );
    return { cache: this.cache, cachedTokens, rest };
  }

  /** Remembers what the cache holds after an answer: the prompt and the tokens fed after it. */
  async keep(embeddings: TensorData<"float32">, answerIds: readonly number[]): Promise<void> {
    const held = this.cache?.lengths[0] ?? 0;
    const promptRows = Math.min(held, embeddings.shape[1]);
    const fed = answerIds.slice(0, held - promptRows);
    const answer = fed.length > 0 ? (await this.decoder.embed(fed)).data : new Float32Array(0);
    const rows = new Float32Array(promptRows * this.width + answer.length);
    rows.set(embeddings.data.subarray(0, promptRows * this.width));
    rows.set(answer, promptRows * this.width);
    this.rows = rows;
  }

  async release(): Promise<void> {
    if (this.cache !== undefined) await this.decoder.releaseCache(this.cache);
    this.cache = undefined;
    this.rows = new Float32Array(0);
  }

  private sharedRows(embeddings: Float32Array): number {
    const length = Math.min(embeddings.length, this.rows.length);
    let index = 0;
    while (index < length && embeddings[index] === this.rows[index]) index += 1;
    return Math.floor(index / this.width);
  }
}
