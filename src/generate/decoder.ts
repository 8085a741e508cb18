import { ContextOverflowError, NonFiniteError, OptionsError } from "../errors.js";
import {
  type Engine,
  type Placement,
  type Resident,
  residentRows,
  type Session,
} from "../graph/index.js";
import { decoderGraph, embeddingGraph } from "../language/decoder-graph.js";
import { layerCacheParts } from "../language/layer-cache.js";
import type { LlamaParams } from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import type { OpenGraph } from "../systems/encoder.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { copyLayout, type DecoderCache, rowElements } from "./decoder-cache.js";

export type { DecoderCache } from "./decoder-cache.js";

export type DecoderOptions = {
  /** Places that position tables are made for: the longest sequence. */
  readonly contextLength: number;
  /** Tokens of one prefill step; long prompts are cut into such steps to bound memory. */
  readonly prefillChunk?: number;
};

export type Decoder = {
  readonly contextLength: number;
  /**
   * Whether a cache's last tokens can be taken back: by a smaller `lengths`, and copies of a beginning. A
   * recurrent state holds all that were read; it can only go on or begin anew.
   */
  readonly canRewind: boolean;
  /** Memory for `batch` sequences of up to `capacity` tokens. */
  createCache(batch: number, capacity: number): Promise<DecoderCache>;
  releaseCache(cache: DecoderCache): Promise<void>;
  /**
   * Makes row `toRow` of `to` hold the first `length` tokens (all, when absent) of a row of `from`. Throws
   * `OptionsError` for a part of the tokens where the decoder cannot rewind.
   */
  copyRow(
    from: DecoderCache,
    fromRow: number,
    to: DecoderCache,
    toRow: number,
    length?: number,
  ): Promise<void>;
  /** A larger cache with the same content; the old one is released. */
  growCache(cache: DecoderCache, capacity: number): Promise<DecoderCache>;
  /** Embeddings of tokens, [1, T, D]. */
  embed(ids: readonly number[]): Promise<TensorData<"float32">>;
  /**
   * Appends embeddings [1, T, D] to sequence `row` and returns the scores of the next token, [W].
   * Throws `ContextOverflowError` when they do not fit.
   */
  prefill(
    cache: DecoderCache,
    row: number,
    embeddings: TensorData<"float32">,
    signal?: AbortSignal,
  ): Promise<Float32Array>;
  /**
   * Appends one token to each of the cache's first sequences: `tokens[b]`, or leaves sequence b as it
   * is where it is undefined. Returns the next tokens' scores, one row of [W] each.
   */
  step(cache: DecoderCache, tokens: readonly (number | undefined)[]): Promise<Float32Array[]>;
};

const int32 = (values: readonly number[]): TensorData<"int32"> => ({
  dtype: "int32",
  shape: [values.length],
  data: Int32Array.from(values),
});

const checkFinite = (scores: Float32Array): void => {
  // A NaN or infinity anywhere makes the sum one.
  let sum = 0;
  for (const score of scores) sum += score;
  if (!Number.isFinite(sum)) {
    throw new NonFiniteError(
      "decoder: the scores hold NaN or infinity; the weights or the input are broken (`saccade inspect MODEL --check` looks for NaN in the weights)",
    );
  }
};

/** Opens a decoder: one session for prefill and decoding, one that looks up token embeddings. */
export const createDecoder = async (
  engine: Engine,
  open: OpenGraph,
  params: LlamaParams,
  config: LlamaConfig,
  { contextLength, prefillChunk = 512 }: DecoderOptions,
): Promise<Decoder> => {
  if (!Number.isInteger(prefillChunk) || prefillChunk < 1) {
    throw new OptionsError(`createDecoder: prefillChunk must be 1 or more, got ${prefillChunk}`);
  }
  const embedSession = await open(embeddingGraph(params));
  const session: Session = await open(decoderGraph(params, config, contextLength));
  const chunk = Math.min(prefillChunk, await engine.maxFusedQueries());
  const parts = params.layers.map((_, layer) => layerCacheParts(config, layer));
  const canRewind = parts.flat().every(({ kind }) => kind === "tokens");

  const embed = async (tokens: readonly number[]): Promise<TensorData<"float32">> => {
    const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= config.vocabularySize);
    if (bad !== undefined) {
      throw new OptionsError(
        `embed: token ids must be within 0..${config.vocabularySize - 1}, got ${bad}; tokenizer and model disagree`,
      );
    }
    const { embeddings } = await embedSession.run({ ids: int64([1, tokens.length], tokens) });
    return embeddings as TensorData<"float32">;
  };

  const createCache = async (batch: number, capacity: number): Promise<DecoderCache> => {
    if (capacity > contextLength) {
      throw new ContextOverflowError(
        `createCache: at most ${contextLength} tokens fit into the context, got ${capacity}`,
      );
    }
    const layers = [];
    for (const layerParts of parts) {
      const memories: Record<string, Resident> = {};
      for (const { name, shape } of layerParts) {
        memories[name] = await engine.allocate("float32", shape(batch, capacity).map(Number));
      }
      layers.push(memories);
    }
    return { batch, capacity, layers, lengths: new Array<number>(batch).fill(0) };
  };

  const releaseCache = async ({ layers }: DecoderCache): Promise<void> => {
    for (const memories of layers) {
      for (const memory of Object.values(memories)) await engine.release(memory);
    }
  };

  const copyRow: Decoder["copyRow"] = async (from, fromRow, to, toRow, length) => {
    const held = from.lengths[fromRow];
    const tokens = length ?? held;
    if (tokens > to.capacity) {
      throw new ContextOverflowError(
        `copyRow: ${tokens} tokens do not fit into a cache of ${to.capacity}; make a larger one`,
      );
    }
    if (!canRewind && tokens !== held && tokens !== 0) {
      throw new OptionsError(
        `copyRow: a recurrent state holds all ${held} tokens that were read, got ${tokens} to copy; copy all or none`,
      );
    }
    const rowOf = (memory: Resident, row: number) => residentRows(memory, row, row + 1);
    for (const [layer, layerParts] of parts.entries()) {
      for (const part of layerParts) {
        const layout = copyLayout(part, tokens, from.capacity, to.capacity);
        const [source, target] = [from.layers[layer][part.name], to.layers[layer][part.name]];
        await engine.copy(rowOf(source, fromRow), rowOf(target, toRow), layout);
      }
    }
    to.lengths[toRow] = tokens;
  };

  const growCache = async (cache: DecoderCache, capacity: number): Promise<DecoderCache> => {
    if (capacity <= cache.capacity) return cache;
    const grown = await createCache(cache.batch, capacity);
    for (let row = 0; row < cache.batch; row += 1) await copyRow(cache, row, grown, row);
    await releaseCache(cache);
    return grown;
  };

  /**
   * Runs tokens of all sequences, or of rows `start`..`end` of the cache, at their places. The cache
   * takes up those of the sequences for which `keeps` holds.
   */
  const run = async (
    cache: DecoderCache,
    [start, end]: readonly [number, number],
    embeddings: TensorData<"float32">,
    firstPlaces: readonly number[],
    keeps: (row: number) => boolean = () => true,
  ): Promise<Float32Array> => {
    const [batch, length] = embeddings.shape;
    const lastPlaces = firstPlaces.map((place) => place + length - 1);
    const feeds: Record<string, TensorData | Resident> = {
      embeddings,
      positions: int64(
        [batch, length],
        firstPlaces.flatMap((place) => Array.from({ length }, (_, offset) => place + offset)),
      ),
      lastIndex: int32(lastPlaces),
      totalLength: int32([Math.max(...lastPlaces) + 1]),
    };
    const place: Placement[] = [];
    cache.layers.forEach((memories, layer) => {
      for (const part of parts[layer]) {
        const memory = memories[part.name];
        const layout = copyLayout(part, length, length, cache.capacity);
        feeds[part.past] = residentRows(memory, start, end);
        firstPlaces.forEach((firstPlace, index) => {
          if (!keeps(start + index)) return;
          place.push({
            output: part.next,
            fromElement: index * layout.numBlocks * layout.fromStride,
            to: residentRows(memory, start + index, start + index + 1),
            toElement: part.kind === "tokens" ? firstPlace * rowElements(part) : 0,
            layout,
          });
        });
      }
    });
    const { scores } = await session.run(feeds, { fetch: ["scores"], place });
    const data = scores.data as Float32Array;
    checkFinite(data);
    return data;
  };

  const checkRoom = (cache: DecoderCache, row: number, tokens: number): void => {
    const needed = cache.lengths[row] + tokens;
    if (needed > cache.capacity) {
      throw new ContextOverflowError(
        `decoder: ${needed} tokens do not fit into a cache of ${cache.capacity}; shorten the prompt or raise the context`,
      );
    }
  };

  const prefill: Decoder["prefill"] = async (cache, row, embeddings, signal) => {
    const [, total, width] = embeddings.shape;
    if (total === 0) throw new OptionsError("prefill: needs at least one token, got none");
    checkRoom(cache, row, total);
    let scores = new Float32Array(0);
    for (let start = 0; start < total; start += chunk) {
      signal?.throwIfAborted();
      const length = Math.min(chunk, total - start);
      const part = float32(
        [1, length, width],
        embeddings.data.subarray(start * width, (start + length) * width),
      );
      scores = (await run(cache, [row, row + 1], part, [cache.lengths[row]])) as typeof scores;
      cache.lengths[row] += length;
    }
    return scores;
  };

  const step: Decoder["step"] = async (cache, tokens) => {
    tokens.forEach((token, row) => {
      if (token !== undefined) checkRoom(cache, row, 1);
    });
    const { data, shape } = await embed(tokens.map((token) => token ?? 0));
    const width = shape[2];
    // A sequence that is left out computes somewhere, and nothing of it is kept.
    const places = tokens.map((_, row) => Math.min(cache.lengths[row], cache.capacity - 1));
    const rows = float32([tokens.length, 1, width], data);
    const isWanted = (row: number): boolean => tokens[row] !== undefined;
    const scores = await run(cache, [0, tokens.length], rows, places, isWanted);
    tokens.forEach((token, row) => {
      if (token !== undefined) cache.lengths[row] += 1;
    });
    return tokens.map((_, row) =>
      scores.subarray(row * config.vocabularySize, (row + 1) * config.vocabularySize),
    );
  };

  return {
    contextLength,
    canRewind,
    createCache,
    releaseCache,
    copyRow,
    growCache,
    embed,
    prefill,
    step,
  };
};
