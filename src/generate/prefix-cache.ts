import { float32, type TensorData } from "../tensor-data.js";
import type { Decoder, DecoderCache } from "./decoder.js";
import { roundUpCapacity } from "./sequence-batch.js";

export type PrefixCacheOptions = {
  /** Bytes of keys, values and embeddings to keep; the least recently used go first. 0 keeps nothing. */
  readonly maxBytes: number;
  /** Most prompts to keep; 1 for a conversation, whose next turn takes the place of the last one. */
  readonly maxEntries?: number;
};

/** A prompt made ready: what the cache already holds of it, and what is still to be read. */
export type OpenedPrompt = {
  /** One row; the caller's own. */
  readonly cache: DecoderCache;
  readonly cachedTokens: number;
  /** Embeddings [1, T, D] that the cache does not hold yet. */
  readonly rest: TensorData<"float32">;
};

type Entry = {
  readonly scope: string;
  readonly cache: DecoderCache;
  /** Embeddings of the rows that the cache holds, [length, D]. */
  readonly rows: Float32Array;
  readonly bytes: number;
};

/** Shorter beginnings (a template's own words) are read again faster than they are copied. */
const fewestTokensToCopy = 16;

const countShared = (a: Float32Array, b: Float32Array, width: number): number => {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index += 1;
  return Math.floor(index / width);
};

const bytesOf = ({ layers }: DecoderCache, rows: Float32Array): number =>
  layers
    .flatMap((memories) => Object.values(memories))
    .reduce((bytes, { shape }) => bytes + 4 * shape.reduce((a, b) => a * b, 1), rows.byteLength);

/**
 * Caches of earlier prompts. What a new prompt shares with one is found by comparing
 * embeddings, row by row: exact for every method, whatever went into them. A prompt that continues an
 * earlier one takes over its cache; one that shares only a beginning gets a copy of that, where the
 * decoder can go back to it.
 */
export class PrefixCache {
  /** The most recently used last. */
  private entries: Entry[] = [];
  private readonly maxBytes: number;
  private readonly maxEntries: number;
  /** One change at a time: an entry must not be given up while it is being copied. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly decoder: Decoder,
    private readonly width: number,
    { maxBytes, maxEntries = Number.POSITIVE_INFINITY }: PrefixCacheOptions,
  ) {
    this.maxBytes = maxBytes;
    this.maxEntries = maxEntries;
  }

  /** Bytes that are kept. */
  get bytes(): number {
    return this.entries.reduce((sum, entry) => sum + entry.bytes, 0);
  }

  /** Finds what is known of a prompt [1, T, D]. Prompts of different scopes never share anything. */
  open(embeddings: TensorData<"float32">, scope = ""): Promise<OpenedPrompt> {
    return this.inTurn(() => this.find(embeddings, scope));
  }

  /** Takes back a cache with what it holds now: the prompt, or a part of it, and tokens fed after it. */
  keep(
    cache: DecoderCache,
    embeddings: TensorData<"float32">,
    answerIds: readonly number[],
    scope = "",
  ): Promise<void> {
    return this.inTurn(() => this.add(cache, embeddings, answerIds, scope));
  }

  release(): Promise<void> {
    return this.inTurn(async () => {
      for (const { cache } of this.entries.splice(0)) await this.decoder.releaseCache(cache);
    });
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  private async find(embeddings: TensorData<"float32">, scope: string): Promise<OpenedPrompt> {
    const length = embeddings.shape[1];
    // The last token is always computed: its scores start the answer.
    const shared = (entry: Entry): number =>
      Math.min(countShared(embeddings.data, entry.rows, this.width), length - 1);
    let best: Entry | undefined;
    let cachedTokens = 0;
    for (const entry of this.entries) {
      if (entry.scope !== scope) continue;
      const tokens = shared(entry);
      const isWhole = tokens * this.width === entry.rows.length;
      if (tokens <= cachedTokens || !(isWhole || this.decoder.canRewind)) continue;
      best = entry;
      cachedTokens = tokens;
    }
    const capacity = roundUpCapacity(length + 1, this.decoder.contextLength);
    const continues = best !== undefined && cachedTokens * this.width === best.rows.length;
    let cache: DecoderCache;
    if (best !== undefined && (continues || this.maxEntries === 1)) {
      this.entries = this.entries.filter((entry) => entry !== best);
      cache = await this.decoder.growCache(best.cache, capacity);
      cache.lengths[0] = cachedTokens;
    } else {
      cache = await this.decoder.createCache(1, capacity);
      if (best !== undefined && cachedTokens >= fewestTokensToCopy) {
        this.entries = [...this.entries.filter((entry) => entry !== best), best];
        await this.decoder.copyRow(best.cache, 0, cache, 0, cachedTokens);
      } else {
        cachedTokens = 0;
      }
    }
    const rest = float32(
      [1, length - cachedTokens, this.width],
      embeddings.data.subarray(cachedTokens * this.width),
    );
    return { cache, cachedTokens, rest };
  }

  private async add(
    cache: DecoderCache,
    embeddings: TensorData<"float32">,
    answerIds: readonly number[],
    scope: string,
  ): Promise<void> {
    const held = cache.lengths[0];
    if (this.maxBytes === 0 || held === 0) return this.decoder.releaseCache(cache);
    const promptRows = Math.min(held, embeddings.shape[1]);
    const fed = answerIds.slice(0, held - promptRows);
    const answer = fed.length > 0 ? (await this.decoder.embed(fed)).data : new Float32Array(0);
    const rows = new Float32Array(promptRows * this.width + answer.length);
    rows.set(embeddings.data.subarray(0, promptRows * this.width));
    rows.set(answer, promptRows * this.width);
    this.entries.push({ scope, cache, rows, bytes: bytesOf(cache, rows) });
    while (this.bytes > this.maxBytes || this.entries.length > this.maxEntries) {
      const oldest = this.entries.shift();
      if (oldest !== undefined) await this.decoder.releaseCache(oldest.cache);
    }
  }
}
