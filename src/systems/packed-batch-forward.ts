/**
 * LLaVA-UHD v4 over rows of packed samples, as it trains: all views of the batch in one packed run,
 * then the language model over rows in which no sample sees another.
 */
import { PromptError } from "../errors.js";
import { input, reshape, type Tensor } from "../graph/index.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { sequenceScores } from "../language/full-sequence.js";
import { embedTokens, llamaRopeTables } from "../language/llama.js";
import { type AdapterOf, ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import type { TensorData } from "../tensor-data.js";
import { planPacking } from "../vision/pack-patches.js";
import { namedGroups } from "../vision/packed-tower.js";
import { feedJudged, type JudgedTokens, judgedOf, judgedTokens } from "./judged-tokens.js";
import { type LlavaUhdParams, llavaUhdParams, uhdVisualTokens } from "./llava-uhd.js";
import { type LlavaUhdConfig, mergeLevels } from "./llava-uhd-config.js";
import { uhdVisionFeeds, uhdVisionInput, visualRows } from "./llava-uhd-input.js";
import { layOutRows, type PackedRows, type RowTensors } from "./packed-batch.js";
import { spliceEmbeddings } from "./splice.js";

/** What a graph is made for: rows, and groups of views of equal length, whose sizes stay open. */
export type PackedShape = {
  readonly batch: number;
  readonly length: number;
  readonly numGroups: number;
  readonly mode: DownsampleMode;
};

export type PackedForward = {
  /** Scores at the places of the judged tokens, [J, W]. */
  readonly scores: Tensor;
  readonly judged: JudgedTokens;
  /** Features of all patches before any merging, [N, D]; absent without images, and where merging begins inside the encoder. */
  readonly features?: Tensor;
  /** Visual tokens of all views, [M, D]; absent without images. */
  readonly visual?: Tensor;
  feeds(batch: PackedRows): Record<string, TensorData>;
};

/** The shape of a batch whose rows have `length` places. */
export const packedShapeOf = (
  { rows, mode }: PackedRows,
  length: number,
  { vision }: LlavaUhdConfig,
): PackedShape => {
  const grids = rows.flat().flatMap(({ strips }) => strips.flatMap((strip) => strip.grids));
  const { groups } = planPacking(grids, mergeLevels(vision, mode));
  return { batch: rows.length, length, numGroups: groups.length, mode };
};

const feedRows = ({ labels, weights, ...rows }: RowTensors): Record<string, TensorData> => ({
  ...rows,
  ...feedJudged(judgedOf(labels, weights)),
});

/** Makes the forward passes of a model whose parameters are partly fed. */
export const createPackedForward = (
  config: LlavaUhdConfig,
  isFed: (name: string) => boolean = () => false,
  adapterOf?: AdapterOf,
): { readonly params: LlavaUhdParams; forward(shape: PackedShape): PackedForward } => {
  const params = llavaUhdParams(new ParameterScope([], isFed, adapterOf), config);
  const { language, vision } = config;

  const forward = (shape: PackedShape): PackedForward => {
    const { batch, length, numGroups, mode } = shape;
    const place = (name: string): Tensor => input(name, "int64", [batch, length]);
    const judged = judgedTokens();
    const taps = Taps.create();
    const text = reshape(embedTokens(params.language, place("ids")), [-1, language.width]);
    const visual =
      numGroups === 0
        ? []
        : [
            uhdVisualTokens(
              params,
              uhdVisionInput(vision, namedGroups(numGroups), mode),
              vision,
              mode,
              taps,
            ).tokens,
          ];
    const embeddings = spliceEmbeddings(text, visual, place("index"));
    const scores = sequenceScores(
      params.language,
      embeddings,
      {
        positions: place("positions"),
        segments: place("segments"),
        tables: llamaRopeTables(language, length),
        readPlaces: judged.places,
      },
      language,
    );

    const feeds = (samples: PackedRows): Record<string, TensorData> => {
      const given = packedShapeOf(samples, length, config);
      if (JSON.stringify(given) !== JSON.stringify(shape)) {
        throw new PromptError(
          `feeds: the batch must be ${batch} rows with ${numGroups} groups of views in ${mode}, got ` +
            `${given.batch}, ${given.numGroups} and ${given.mode}; make a pass for this shape`,
        );
      }
      const strips = samples.rows.flat().flatMap((sample) => sample.strips);
      if (numGroups === 0) return feedRows(layOutRows(samples, length, [], 0));
      const { feeds: views, layout } = uhdVisionFeeds(strips, vision, mode);
      const rows = visualRows(layout, vision);
      const total = rows.reduce((sum, { length: tokens }) => sum + tokens, 0);
      return { ...views, ...feedRows(layOutRows(samples, length, rows, total)) };
    };
    const features = vision.compressor === undefined ? taps.tensors.get("output") : undefined;
    return {
      scores,
      judged,
      ...(features && { features }),
      ...(visual[0] && { visual: visual[0] }),
      feeds,
    };
  };
  return { params, forward };
};
