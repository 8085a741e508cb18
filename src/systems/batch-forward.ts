/**
 * A system over whole batches of fixed shape, as training and teacher-forced evaluation run it: every
 * sample has one image in front of its text, or none has.
 */
import { input, type Tensor } from "../graph/index.js";
import { sequenceScores } from "../language/full-sequence.js";
import { embedTokens, llamaRopeTables } from "../language/llama.js";
import { type AdapterOf, ParameterScope } from "../nn/parameter-scope.js";
import { bool, int64, type TensorData } from "../tensor-data.js";
import { avgLlavaParams } from "./avg-llava.js";
import {
  type ImageBatchOptions,
  type ImageBatchShape,
  imageBatchForward,
} from "./image-batch-forward.js";
import { isAvgLlava } from "./image-layouts.js";
import { feedJudged, type JudgedTokens, judgedOf, judgedTokens } from "./judged-tokens.js";
import {
  type BatchShape,
  checkBatch,
  type LabelledBatch,
  placesOf,
  spliceLabels,
} from "./labelled-batch.js";
import { type LlavaParams, llavaParams } from "./llava.js";
import type { LlavaConfig } from "./llava-config.js";
import { type LlavaMiniParams, llavaMiniParams, planFusion } from "./llava-mini.js";
import type { LlavaMiniConfig } from "./llava-mini-config.js";
import { fusedPatches, viewsPerImage } from "./llava-mini-config.js";
import { llavaMiniForward } from "./llava-mini-forward.js";
import { planSplice } from "./splice.js";

export type { BatchShape, LabelledBatch } from "./labelled-batch.js";

/** One reading of the batch by the language model. */
export type BatchPass = {
  /** Scores at the places of the judged tokens, [J, W]. */
  readonly scores: Tensor;
  /** What the loss judges, the same tokens in every reading. */
  readonly judged: JudgedTokens;
  /** Places of the language model, B·T. */
  readonly numPlaces: number;
};

/** The forward pass for one batch shape. */
export type BatchForward = BatchPass & {
  /** All readings, one for each granularity asked for; the last is the pass itself. */
  readonly passes: readonly BatchPass[];
  /** What the router is judged by, where it was asked for. */
  readonly routed?: {
    readonly logits: Tensor; // [B, E]
    /** The row that each judged token belongs to, [J] int64. */
    readonly rows: Tensor;
  };
  /** The values of the graph's inputs for a batch of this shape. */
  feeds(batch: LabelledBatch): Record<string, TensorData>;
};

export type BatchForwardOptions = ImageBatchOptions & {
  /** Parameters that are fed because they train, by full name. */
  readonly isFed?: (name: string) => boolean;
  /** Layers that have an adapter. */
  readonly adapterOf?: AdapterOf;
  /** LLaVA-Mini: token embeddings train too, which the released code prevents. */
  readonly trainsEmbeddings?: boolean;
};

/** Samples without images, in any system. */
const textBatchForward = (
  { language: params }: LlavaParams,
  { language }: LlavaConfig,
  shape: BatchShape,
): BatchForward => {
  const { batch, textLength } = shape;
  const places = [batch, textLength];
  const judged = judgedTokens();
  const pass = {
    scores: sequenceScores(
      params,
      embedTokens(params, input("ids", "int64", places)),
      {
        positions: input("positions", "int64", places),
        tokenMask: input("tokenMask", "bool", places),
        tables: llamaRopeTables(language, textLength),
        readPlaces: judged.places,
      },
      language,
    ),
    judged,
    numPlaces: batch * textLength,
  };
  const feeds = (samples: LabelledBatch): Record<string, TensorData> => {
    checkBatch(samples, shape, 0);
    return {
      ids: int64(places, samples.ids.flat()),
      positions: placesOf(batch, textLength),
      ...feedJudged(judgedOf(spliceLabels(samples, [], textLength))),
      tokenMask: bool(
        places,
        samples.isPadding.flat().map((isPadding) => !isPadding),
      ),
    };
  };
  return { ...pass, passes: [pass], feeds };
};

/** LLaVA-Mini, whose samples are fused with their image first. */
const miniBatchForward = (
  params: LlavaMiniParams,
  config: LlavaMiniConfig,
  shape: BatchShape,
  { trainsEmbeddings = false, taps }: Pick<BatchForwardOptions, "trainsEmbeddings" | "taps">,
): BatchForward => {
  const { batch, textLength } = shape;
  const views = viewsPerImage(config);
  const tokensPerImage = config.compressorSide ** 2;
  const side = config.vision.imageSizePx;
  const length = textLength - 1 + tokensPerImage;
  const fusedLength =
    fusedPatches(config) +
    (config.variant.compressedTokens === "fused" ? tokensPerImage : 0) +
    textLength;
  const places = [batch, length];
  const judged = judgedTokens();
  const { scores } = llavaMiniForward(
    params,
    {
      pixels: input("pixels", "float32", [batch, views, 3, side, side]),
      ids: input("ids", "int64", [batch, textLength]),
      keyMask: input("keyMask", "bool", [batch, fusedLength]),
      fusionPositions: input("fusionPositions", "int64", [batch, fusedLength]),
      index: input("index", "int64", places),
      positions: input("positions", "int64", places),
      tokenMask: input("tokenMask", "bool", places),
      tables: llamaRopeTables(config.language, Math.max(length, fusedLength)),
      readPlaces: judged.places,
    },
    config,
    { trainsEmbeddings },
    taps,
  );
  const pass = { scores, judged, numPlaces: batch * length };
  const feeds = (samples: LabelledBatch): Record<string, TensorData> => {
    checkBatch(samples, shape, views);
    const splice = planSplice(
      samples.ids.map((row, sample) => ({
        ids: row,
        isPadding: samples.isPadding[sample],
        visualRows: [
          Array.from({ length: tokensPerImage }, (_, token) => sample * tokensPerImage + token),
        ],
      })),
      textLength,
      batch * tokensPerImage,
      length,
    );
    // Answers are no part of the question: pre-fusion leaves them out, as the reference's training does.
    const isAnswer = samples.labels.map((row) => row.map((label) => label !== -100));
    const fusion = planFusion(samples.ids, config, isAnswer);
    return {
      ...(samples.pixels && { pixels: samples.pixels }),
      ids: int64(
        [batch, textLength],
        samples.ids.flat().map((id) => Math.max(id, 0)),
      ),
      keyMask: fusion.keyMask,
      fusionPositions: fusion.positions,
      index: splice.index,
      tokenMask: splice.mask,
      positions: placesOf(batch, length),
      ...feedJudged(
        judgedOf(
          spliceLabels(
            samples,
            samples.ids.map(() => tokensPerImage),
            length,
          ),
        ),
      ),
    };
  };
  return { ...pass, passes: [pass], feeds };
};

/** Makes the forward passes of a system whose parameters are partly fed. */
export const createBatchForward = (
  config: LlavaConfig,
  { isFed = () => false, adapterOf, ...options }: BatchForwardOptions = {},
): { readonly params: LlavaParams; forward(shape: ImageBatchShape): BatchForward } => {
  const scope = new ParameterScope([], isFed, adapterOf);
  const isMini = (value: LlavaConfig): value is LlavaMiniConfig => value.system === "llava-mini";
  if (isMini(config)) {
    const params = llavaMiniParams(scope, config);
    return {
      params,
      forward: (shape) =>
        shape.hasImages
          ? miniBatchForward(params, config, shape, options)
          : textBatchForward(params, config, shape),
    };
  }
  const params = isAvgLlava(config) ? avgLlavaParams(scope, config) : llavaParams(scope, config);
  return {
    params,
    forward: (shape) =>
      shape.hasImages
        ? imageBatchForward(params, config, shape, options)
        : textBatchForward(params, config, shape),
  };
};
