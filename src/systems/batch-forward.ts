/**
 * A system over whole batches of fixed shape, as training and teacher-forced evaluation run it: every
 * sample has one image in front of its text, or none has.
 */
import { PromptError } from "../errors.js";
import { input, type Tensor } from "../graph/index.js";
import { sequenceScores } from "../language/full-sequence.js";
import { embedTokens, llamaRopeTables } from "../language/llama.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { bool, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { type LlavaParams, llavaParams } from "./llava.js";
import { type LlavaConfig, tokensPerView } from "./llava-config.js";
import { llavaForward } from "./llava-forward.js";
import { type LlavaMiniParams, llavaMiniParams, planFusion } from "./llava-mini.js";
import type { LlavaMiniConfig } from "./llava-mini-config.js";
import { fusedPatches, viewsPerImage } from "./llava-mini-config.js";
import { llavaMiniForward } from "./llava-mini-forward.js";
import { planSplice, type SplicePlan } from "./splice.js";

/** Samples of equal padded length. */
export type LabelledBatch = {
  /** Token ids, `imagePlaceholderId` where an image goes, [B][L]. */
  readonly ids: readonly (readonly number[])[];
  /** -100 where not supervised, [B][L]. */
  readonly labels: readonly (readonly number[])[];
  readonly isPadding: readonly (readonly boolean[])[];
  /** Views of each sample's image, [B, V, 3, side, side]; absent when no sample has one. */
  readonly pixels?: TensorData<"float32">;
};

export type BatchShape = {
  readonly batch: number;
  readonly textLength: number;
  readonly hasImages: boolean;
};

/** The forward pass for one batch shape. */
export type BatchForward = {
  /** Scores of every place, [B, T, W]. */
  readonly scores: Tensor;
  /** Labels of every place, [B, T] int64: an input of the loss. */
  readonly labels: Tensor;
  /** The values of the graph's inputs for a batch of this shape. */
  feeds(batch: LabelledBatch): Record<string, TensorData>;
};

export type BatchForwardOptions = {
  /** Parameters that are fed because they train, by full name. */
  readonly isFed?: (name: string) => boolean;
  /** LLaVA-Mini: token embeddings train too, which the released code prevents. */
  readonly trainsEmbeddings?: boolean;
};

const placesOf = (batch: number, length: number): TensorData<"int64"> =>
  int64(
    [batch, length],
    Array.from({ length: batch * length }, (_, index) => index % length),
  );

/** Labels moved along with their tokens: visual tokens and padding have none. */
const spliceLabels = (
  { ids, labels, isPadding }: LabelledBatch,
  tokensPerImage: number,
  length: number,
): TensorData<"int64"> => {
  const rows = ids.flatMap((row, sample) => {
    const kept = row.flatMap((id, place) => {
      if (isPadding[sample][place]) return [];
      if (id !== imagePlaceholderId) return [labels[sample][place]];
      return new Array<number>(tokensPerImage).fill(-100);
    });
    return [...kept, ...new Array<number>(length - kept.length).fill(-100)];
  });
  return int64([ids.length, length], rows);
};

const checkBatch = ({ ids, pixels }: LabelledBatch, shape: BatchShape, views: number): void => {
  const fits =
    ids.length === shape.batch &&
    ids.every((row) => row.length === shape.textLength) &&
    (pixels === undefined) !== shape.hasImages &&
    (pixels === undefined || (pixels.shape[0] === shape.batch && pixels.shape[1] === views));
  if (!fits) {
    throw new PromptError(
      `feeds: the batch must be ${shape.batch} samples of ${shape.textLength} places ` +
        `${shape.hasImages ? `with ${views} views each` : "without images"}, got ${ids.length} of ` +
        `${ids[0]?.length} with pixels [${pixels?.shape ?? ""}]; group samples by shape`,
    );
  }
  if (
    ids.some(
      (row) => row.filter((id) => id === imagePlaceholderId).length !== Number(shape.hasImages),
    )
  ) {
    throw new PromptError(
      `feeds: every sample needs ${shape.hasImages ? "exactly one placeholder" : "no placeholder"}; group samples by modality`,
    );
  }
};

/** Makes the forward passes of a system whose parameters are partly fed. */
export const createBatchForward = (
  config: LlavaConfig,
  { isFed = () => false, trainsEmbeddings = false }: BatchForwardOptions = {},
): { readonly params: LlavaParams; forward(shape: BatchShape): BatchForward } => {
  const scope = new ParameterScope([], isFed);
  const isMini = (value: LlavaConfig): value is LlavaMiniConfig => value.system === "llava-mini";
  const mini = isMini(config) ? config : undefined;
  const miniParams: LlavaMiniParams | undefined = mini && llavaMiniParams(scope, mini);
  const params = miniParams ?? llavaParams(scope, config);
  const { language } = config;
  const views = mini === undefined ? 1 : viewsPerImage(mini);
  const tokensPerImage = mini === undefined ? tokensPerView(config) : mini.compressorSide ** 2;
  const side = config.vision.imageSizePx;

  const forward = (shape: BatchShape): BatchForward => {
    const { batch, textLength, hasImages } = shape;
    const length = hasImages ? textLength - 1 + tokensPerImage : textLength;
    const fusedLength =
      mini === undefined
        ? 0
        : fusedPatches(mini) +
          (mini.variant.compressedTokens === "fused" ? tokensPerImage : 0) +
          textLength;
    const tables = llamaRopeTables(language, Math.max(length, fusedLength));
    const ids = input("ids", "int64", [batch, textLength]);
    const index = input("index", "int64", [batch, length]);
    const positions = input("positions", "int64", [batch, length]);
    const tokenMask = input("tokenMask", "bool", [batch, length]);
    const labels = input("labels", "int64", [batch, length]);
    const places = { positions, tokenMask, tables };

    let scores: Tensor;
    if (!hasImages) {
      scores = sequenceScores(params.language, embedTokens(params.language, ids), places, language);
    } else if (mini !== undefined && miniParams !== undefined) {
      scores = llavaMiniForward(
        miniParams,
        {
          pixels: input("pixels", "float32", [batch, views, 3, side, side]),
          ids,
          keyMask: input("keyMask", "bool", [batch, fusedLength]),
          fusionPositions: input("fusionPositions", "int64", [batch, fusedLength]),
          index,
          ...places,
        },
        mini,
        { trainsEmbeddings },
      ).scores;
    } else {
      const pixels = input("pixels", "float32", [batch, 3, side, side]);
      scores = llavaForward(params, { pixels, ids, index, ...places }, config).scores;
    }

    const feeds = (samples: LabelledBatch): Record<string, TensorData> => {
      checkBatch(samples, shape, views);
      const known = samples.ids.flat().map((id) => Math.max(id, 0));
      const shared = {
        ids: int64([batch, textLength], known),
        positions: placesOf(batch, length),
        labels: spliceLabels(samples, tokensPerImage, length),
      };
      const { pixels } = samples;
      if (pixels === undefined) {
        const mask = samples.isPadding.flat().map((isPadding) => !isPadding);
        return { ...shared, tokenMask: bool([batch, textLength], mask) };
      }
      const splice: SplicePlan = planSplice(
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
      const spliced = { ...shared, index: splice.index, tokenMask: splice.mask };
      if (mini === undefined) {
        return { ...spliced, pixels: { ...pixels, shape: [batch, ...pixels.shape.slice(2)] } };
      }
      // Answers are no part of the question: pre-fusion leaves them out, as the reference's training does.
      const isAnswer = samples.labels.map((row) => row.map((label) => label !== -100));
      const fusion = planFusion(samples.ids, mini, isAnswer);
      return { ...spliced, pixels, keyMask: fusion.keyMask, fusionPositions: fusion.positions };
    };
    return { scores, labels, feeds };
  };
  return { params, forward };
};
