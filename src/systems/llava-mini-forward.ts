import { dim, reshape, stopGradient, type Tensor } from "../graph/index.js";
import { type SequencePlaces, sequenceScores } from "../language/full-sequence.js";
import type { Taps } from "../nn/taps.js";
import { type LlavaMiniParams, llavaMiniFuse, llavaMiniVisual } from "./llava-mini.js";
import type { LlavaMiniConfig } from "./llava-mini-config.js";
import { spliceEmbeddings } from "./splice.js";

export type LlavaMiniForwardInput = SequencePlaces & {
  readonly pixels: Tensor; // [B, P, 3, side, side]
  readonly ids: Tensor; // [B, L] int64, placeholders replaced by any id
  readonly keyMask: Tensor; // [B, S] bool, of pre-fusion
  readonly fusionPositions: Tensor; // [B, S] int64
  readonly index: Tensor; // [B, T] int64, by planSplice
};

export type LlavaMiniForwardOptions = {
  /**
   * Whether the token embeddings train. The released code detaches them before pre-fusion, so that
   * they never do.
   */
  readonly trainsEmbeddings?: boolean;
};

/**
 * The whole of LLaVA-Mini for a batch of one image each: pixels and prompt to the scores of every
 * place, or of `readPlaces`. Returns scores [B, T, W] or [J, W] and what the language model read, [B, T, D].
 */
export const llavaMiniForward = (
  params: LlavaMiniParams,
  { tables, ...inputs }: LlavaMiniForwardInput,
  config: LlavaMiniConfig,
  { trainsEmbeddings = false }: LlavaMiniForwardOptions = {},
  taps?: Taps,
): { readonly scores: Tensor; readonly embeddings: Tensor } => {
  const { language } = params;
  const fused = llavaMiniFuse(
    trainsEmbeddings
      ? params
      : { ...params, language: { ...language, embedding: stopGradient(language.embedding) } },
    {
      visual: llavaMiniVisual(params, inputs.pixels, config, taps),
      ids: inputs.ids,
      keyMask: inputs.keyMask,
      positions: inputs.fusionPositions,
      tables,
    },
    config,
    taps,
  );
  const width = dim(config.language.width);
  const embeddings = spliceEmbeddings(
    reshape(fused.text, [-1, width]),
    reshape(fused.compressed, [-1, width]),
    inputs.index,
  );
  taps?.add("embeddings", embeddings);
  const scores = sequenceScores(
    language,
    embeddings,
    {
      positions: inputs.positions,
      tokenMask: inputs.tokenMask,
      tables,
      readPlaces: inputs.readPlaces,
    },
    config.language,
    taps?.under("language"),
  );
  return { scores, embeddings };
};
