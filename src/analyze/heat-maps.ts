/** Attention over places of an image in one form, whoever looks: answers, compressors, fused questions. */
import type { VisualTokenOrigin } from "../systems/visual-token-origins.js";
import type { AnsweredSequence } from "./answered-sequence.js";
import type { CompressorAttention, FusionAttention } from "./llava-mini-attention.js";

export type HeatMaps = {
  /** Where each place that is looked at lies; those without a cell cannot be drawn. */
  readonly origins: readonly VisualTokenOrigin[];
  /** Who looks: tokens of the answer or of the question, or queries. */
  readonly lookers: readonly string[];
  /** By what: the mean first, then each layer or head. */
  readonly levels: readonly string[];
  /** [levels][lookers][origins]. */
  readonly values: readonly (readonly (readonly number[])[])[];
  /** Share of a looker's whole attention that its map adds up to, [levels][lookers]. */
  readonly shares: readonly (readonly number[])[];
};

type Rows = readonly (readonly number[])[];

/** Element by element over several matrices of one size. */
const meanOf = (levels: readonly Rows[]): number[][] =>
  levels[0].map((row, at) =>
    row.map((_, place) => levels.reduce((sum, level) => sum + level[at][place], 0) / levels.length),
  );

const heatMaps = (
  origins: readonly VisualTokenOrigin[],
  lookers: readonly string[],
  [kind, levels]: readonly ["layer" | "head", readonly Rows[]],
): HeatMaps => {
  const values = [meanOf(levels), ...levels];
  return {
    origins,
    lookers,
    levels: [`mean of ${levels.length} ${kind}s`, ...levels.map((_, at) => `${kind} ${at + 1}`)],
    values,
    shares: values.map((level) => level.map((row) => row.reduce((sum, value) => sum + value, 0))),
  };
};

/** Maps of an answer's tokens; `attention` [layers][answer][visual] is `visualAttention`'s. */
export const answerHeatMaps = (
  { tokens, promptLength }: AnsweredSequence,
  attention: readonly Rows[],
): HeatMaps =>
  heatMaps(
    tokens.flatMap(({ origin }) => origin ?? []),
    tokens.slice(promptLength).map(({ text }) => text),
    ["layer", attention],
  );

/** Maps of a compressor's queries, by head. */
export const compressorHeatMaps = ({ patches, heads }: CompressorAttention): HeatMaps =>
  heatMaps(
    patches,
    heads.map((_, query) => `query ${query + 1}`),
    ["head", heads[0].map((_, head) => heads.map((query) => query[head]))],
  );

/** Maps of a prompt's tokens in pre-fusion; `texts`: what stands at each place of the prompt's ids. */
export const fusionHeatMaps = (
  { patches, places, toPatches }: FusionAttention,
  texts: readonly string[],
): HeatMaps =>
  heatMaps(
    patches,
    places.map((place) => texts[place]),
    ["layer", toPatches],
  );
