import type { RopeTables, Tensor } from "../graph/index.js";
import { keyMaskBias, segmentBias } from "../nn/key-mask-bias.js";
import type { Taps } from "../nn/taps.js";
import { type LlamaParams, languageHead, llama } from "./llama.js";
import type { LlamaConfig } from "./llama-config.js";

type TokenPlaces = {
  readonly positions: Tensor; // [B, T] int64
  readonly tables: RopeTables;
  /** Places whose scores are wanted, of all rows one after the other, [J] int64; absent: all. */
  readonly readPlaces?: Tensor;
};

/** Where the tokens of a padded batch stand. */
export type SequencePlaces = TokenPlaces & {
  /** Which places hold a token; the others are seen by none. */
  readonly tokenMask: Tensor; // [B, T] bool
};

/** Where the tokens of rows stand that pack several samples each. */
export type PackedPlaces = TokenPlaces & {
  /** The sample of its row that each place belongs to; no other sees it. */
  readonly segments: Tensor; // [B, T] int64
};

/**
 * Next-token scores of whole sequences, without a cache. embeddings [B, T, D] → [B, T, W], or [J, W] of
 * `readPlaces`.
 */
export const sequenceScores = (
  params: LlamaParams,
  embeddings: Tensor,
  places: SequencePlaces | PackedPlaces,
  config: LlamaConfig,
  taps?: Taps,
): Tensor => {
  const { positions, tables, readPlaces } = places;
  const seen =
    "segments" in places
      ? { bias: segmentBias(places.segments), segments: places.segments }
      : { bias: keyMaskBias(places.tokenMask), tokenMask: places.tokenMask };
  const context = { kind: "full", positions, tables, readPlaces, ...seen } as const;
  const { hidden } = llama(params, embeddings, context, config, taps);
  return languageHead(params, hidden);
};
