import { dim, reshape, type Tensor } from "../graph/index.js";
import { type SequencePlaces, sequenceScores } from "../language/full-sequence.js";
import { embedTokens } from "../language/llama.js";
import type { Taps } from "../nn/taps.js";
import { type LlavaParams, llavaVisualTokens, newlineRow } from "./llava.js";
import type { LlavaConfig } from "./llava-config.js";
import { spliceEmbeddings } from "./splice.js";

export type LlavaForwardInput = SequencePlaces & {
  readonly pixels: Tensor; // [V, 3, side, side], the views of all samples
  readonly ids: Tensor; // [B, L] int64, placeholders replaced by any id
  /** Rows of `[text B·L | visual V·N | newline, where there is one | zero]`, [B, T] int64. */
  readonly index: Tensor;
};

/** The whole of LLaVA-1.5 or LLaVA-NeXT for a batch: pixels and prompts to scores [B, T, W]. */
export const llavaForward = (
  params: LlavaParams,
  { pixels, ids, index, ...places }: LlavaForwardInput,
  config: LlavaConfig,
  taps?: Taps,
): { readonly scores: Tensor; readonly embeddings: Tensor } => {
  const width = dim(config.language.width);
  const learned = params.imageNewline === undefined ? [] : [newlineRow(params.imageNewline)];
  const embeddings = spliceEmbeddings(
    reshape(embedTokens(params.language, ids), [-1, width]),
    reshape(llavaVisualTokens(params, pixels, config), [-1, width]),
    index,
    learned,
  );
  taps?.add("embeddings", embeddings);
  const scores = sequenceScores(params.language, embeddings, places, config.language, taps);
  return { scores, embeddings };
};
