/**
 * LLaVA, LLaVA-NeXT and AVG-LLaVA over whole batches: the encoder runs once, the language model once for
 * each granularity asked for.
 */
import { input, reshape, type Tensor } from "../graph/index.js";
import { sequenceScores } from "../language/full-sequence.js";
import { embedTokens, llamaRopeTables } from "../language/llama.js";
import type { Taps } from "../nn/taps.js";
import { granularityRouter } from "../reduce/granularity-router.js";
import { granularityScaler } from "../reduce/granularity-scaler.js";
import { bool, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import type { AvgLlavaParams } from "./avg-llava.js";
import type { BatchForward, BatchPass } from "./batch-forward.js";
import { imageLayouts, isAvgLlava, mostViews, planOfSample } from "./image-layouts.js";
import { feedJudged, judgedOf, judgedRows, judgedTokens } from "./judged-tokens.js";
import {
  type BatchShape,
  checkBatch,
  type LabelledBatch,
  placesOf,
  spliceLabels,
} from "./labelled-batch.js";
import { llavaVisualTokens, newlineRow } from "./llava.js";
import { type LlavaConfig, viewGrid } from "./llava-config.js";
import { newlineIndex } from "./llava-next.js";
import { planSplice, spliceEmbeddings } from "./splice.js";

export type ImageBatchOptions = {
  /** Which granularities the language model reads, one pass each; the finest alone by default. */
  readonly granularities?: "finest" | "all";
  /** Whether the router's logits are computed too. */
  readonly routes?: boolean;
  /** Collects the intermediates of LLaVA-Mini, or of AVG-LLaVA's router. */
  readonly taps?: Taps;
};

export type ImageBatchShape = BatchShape & {
  /** Views of each image and places of each pass, where not the most that any image takes. */
  readonly views?: number;
  readonly lengths?: readonly number[];
};

/** The forward pass of a batch whose samples have one image each. */
export const imageBatchForward = (
  params: AvgLlavaParams,
  config: LlavaConfig,
  shape: ImageBatchShape,
  { granularities = "finest", routes = false, taps }: ImageBatchOptions = {},
): BatchForward => {
  const { language } = config;
  const { batch, textLength } = shape;
  const { views = mostViews(config) } = shape;
  const all = imageLayouts(config);
  const layouts = granularities === "all" ? all : all.slice(-1);
  const lengths = shape.lengths ?? layouts.map(({ mostRows }) => textLength - 1 + mostRows);
  const tables = llamaRopeTables(language, Math.max(...lengths));
  const side = config.vision.imageSizePx;

  const pixels = input("pixels", "float32", [batch * views, 3, side, side]);
  const ids = input("ids", "int64", [batch, textLength]);
  const tokens = llavaVisualTokens(params, pixels, config); // [B*V, N, D]
  const text = embedTokens(params.language, ids); // [B, L, D]
  const learned = params.imageNewline === undefined ? [] : [newlineRow(params.imageNewline)];
  const suffix = (pass: number): string =>
    layouts.length === 1 ? "" : `.${layouts[pass].tokensPerView}`;

  const passes = layouts.map(({ pooled }, pass): BatchPass => {
    const length = lengths[pass];
    const judged = judgedTokens(suffix(pass));
    const named = (name: string, dtype: "int64" | "bool"): Tensor =>
      input(name + suffix(pass), dtype, [batch, length]);
    const [visual] =
      pooled === undefined ? [tokens] : granularityScaler(tokens, viewGrid(config), [pooled]);
    const embeddings = spliceEmbeddings(
      reshape(text, [-1, language.width]),
      reshape(visual, [-1, language.width]),
      named("index", "int64"),
      learned,
    );
    const places = {
      positions: named("positions", "int64"),
      tokenMask: named("tokenMask", "bool"),
      tables,
      readPlaces: judged.places,
    };
    return {
      scores: sequenceScores(params.language, embeddings, places, language),
      judged,
      numPlaces: batch * length,
    };
  });

  const { router } = isAvgLlava(config) ? config : {};
  const logits =
    routes && params.router !== undefined && router !== undefined
      ? granularityRouter(
          params.router,
          {
            views: reshape(tokens, [batch, views, tokens.shape[1], language.width]),
            text,
            textMask: input("router.textMask", "bool", [batch, textLength]),
            viewMask: input("router.viewMask", "bool", [batch, views]),
          },
          router,
          taps,
        )
      : undefined;

  const feeds = (samples: LabelledBatch): Record<string, TensorData> => {
    checkBatch(samples, shape, views);
    const plans = samples.ids.map((_, sample) => planOfSample(samples.plans, sample, config));
    const fed: Record<string, TensorData> = {
      ids: int64(
        [batch, textLength],
        samples.ids.flat().map((id) => Math.max(id, 0)),
      ),
    };
    if (samples.pixels !== undefined) {
      const [, , ...sides] = samples.pixels.shape;
      fed.pixels = { ...samples.pixels, shape: [batch * views, ...sides] };
    }
    for (const [pass, { tokensPerView, rowsOf }] of layouts.entries()) {
      const newlineAt = batch * views * tokensPerView;
      const visualRows = plans.map((plan, sample) =>
        rowsOf(plan).map((row) =>
          row === newlineIndex ? newlineAt : sample * views * tokensPerView + row,
        ),
      );
      const splice = planSplice(
        samples.ids.map((row, sample) => ({
          ids: row,
          isPadding: samples.isPadding[sample],
          visualRows: [visualRows[sample]],
        })),
        textLength,
        newlineAt + learned.length,
        lengths[pass],
      );
      const counts = visualRows.map((rows) => rows.length);
      const end = suffix(pass);
      fed[`index${end}`] = splice.index;
      fed[`tokenMask${end}`] = splice.mask;
      fed[`positions${end}`] = placesOf(batch, lengths[pass]);
      const judged = judgedOf(spliceLabels(samples, counts, lengths[pass]));
      Object.assign(fed, feedJudged(judged, end));
      if (logits !== undefined) fed["judged.rows"] = judged.rows;
    }
    if (logits !== undefined) {
      // As in the reference's training, the router reads what was asked and not what is answered.
      const isAsked = samples.ids.flatMap((row, sample) =>
        row.map(
          (id, place) =>
            id !== imagePlaceholderId &&
            !samples.isPadding[sample][place] &&
            samples.labels[sample][place] === -100,
        ),
      );
      if (router?.filteredTokens !== 0) fed["router.textMask"] = bool([batch, textLength], isAsked);
      fed["router.viewMask"] = bool(
        [batch, views],
        plans.flatMap((plan) =>
          Array.from({ length: views }, (_, view) => view < plan.views.length),
        ),
      );
    }
    return fed;
  };
  const finest = passes[passes.length - 1];
  return { ...finest, passes, ...(logits && { routed: { logits, rows: judgedRows() } }), feeds };
};
