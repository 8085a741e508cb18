import type { RopeTables, Tensor } from "../graph/index.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import type { Taps } from "../nn/taps.js";
import { type LlamaParams, languageHead, llama } from "./llama.js";
import type { LlamaConfig } from "./llama-config.js";

/** Where the tokens of a padded batch stand. */
export type SequencePlaces = {
  readonly positions: Tensor; // [B, T] int64
  /** Which places hold a token; the others are seen by none. */
  readonly tokenMask: Tensor; // [B, T] bool
  readonly tables: RopeTables;
};

/** Scores of every place of whole sequences, without a cache. embeddings [B, T, D] → [B, T, W]. */
export const sequenceScores = (
  params: LlamaParams,
  embeddings: Tensor,
  { positions, tokenMask, tables }: SequencePlaces,
  config: LlamaConfig,
  taps?: Taps,
): Tensor => {
  const context = { kind: "full", positions, tables, bias: keyMaskBias(tokenMask) } as const;
  const { hidden } = llama(params, embeddings, context, config, taps);
  return languageHead(params, hidden);
};
