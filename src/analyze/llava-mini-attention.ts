/**
 * What LLaVA-Mini's own parts look at (Zhang et al. 2025, arXiv 2501.03895): the compressor's queries
 * over the image (Eq. 2, figure 12) and the question's tokens over it in pre-fusion (Eq. 3).
 */
import { OptionsError, PromptError } from "../errors.js";
import type { EncodedRequest, VisionLanguageModel } from "../generate/model.js";
import { createGraph, input, mean, slice, type Tensor } from "../graph/index.js";
import { llamaRopeTables } from "../language/llama.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import type { PixelViews } from "../systems/encoder.js";
import {
  llavaMiniFuse,
  llavaMiniParams,
  llavaMiniVisual,
  llavaMiniVisualShapes,
  planFusion,
} from "../systems/llava-mini.js";
import { fusedPatches, isLlavaMini, type LlavaMiniConfig } from "../systems/llava-mini-config.js";
import { fusedVisualPlaces } from "../systems/llava-mini-graphs.js";
import { locateFusedPatches, type VisualTokenOrigin } from "../systems/visual-token-origins.js";
import { float32, int64, type TensorData } from "../tensor-data.js";

/** Throws `OptionsError` for other systems. */
const configOf = ({ system: { config } }: VisionLanguageModel): LlavaMiniConfig => {
  if (isLlavaMini(config)) return config;
  throw new OptionsError(
    `analyze: only LLaVA-Mini compresses and fuses, got a ${config.system}; look at its attention to visual tokens instead`,
  );
};

/** Rows of a [..., N] tensor. */
const rowsOf = ({ data, shape }: TensorData): number[][] => {
  const width = shape[shape.length - 1];
  return Array.from({ length: data.length / width }, (_, row) =>
    Array.from(data.subarray(row * width, (row + 1) * width), Number),
  );
};

const imageFeed = ({ pixels }: PixelViews): TensorData<"float32"> =>
  float32([1, ...pixels.shape], pixels.data);

export type CompressorAttention = {
  /** Where each patch that the compressor reads lies. */
  readonly patches: readonly VisualTokenOrigin[];
  /** [queries][heads][patches]; each row adds up to 1. */
  readonly heads: readonly (readonly (readonly number[])[])[];
  /** Mean over the heads, [queries][patches]: what the paper draws. */
  readonly mean: readonly (readonly number[])[];
};

/** Attention of the compressor's queries over one image. Throws `OptionsError` for other systems. */
export const compressorAttention = async (
  model: VisionLanguageModel,
  views: PixelViews,
): Promise<CompressorAttention> => {
  const config = configOf(model);
  const taps = Taps.create();
  // Parameters are found by name, so that the model may be declared again.
  const params = llavaMiniParams(new ParameterScope(), config);
  const pixels = input("pixels", "float32", llavaMiniVisualShapes(config, 1).pixels);
  llavaMiniVisual(params, pixels, config, taps);
  const tapped = (name: string): Tensor => taps.tensors.get(`compressor.${name}`) as Tensor;
  const session = await model.open(
    createGraph("analyze.compressor", { weights: tapped("weights"), mean: tapped("attention") }),
  );
  try {
    const results = await session.run({ pixels: imageFeed(views) });
    const [, numHeads, numQueries, numPatches] = results.weights.shape;
    const rows = rowsOf(results.weights);
    return {
      patches: locateFusedPatches(config).slice(0, numPatches),
      heads: Array.from({ length: numQueries }, (_, query) =>
        Array.from({ length: numHeads }, (_, head) => rows[head * numQueries + query]),
      ),
      mean: rowsOf(results.mean),
    };
  } finally {
    await session.close();
  }
};

export type FusionAttention = {
  /** Where each patch lies. */
  readonly patches: readonly VisualTokenOrigin[];
  /**
   * Places of the prompt's ids that are fused, in order; others (the image's own, ids left out) go
   * through as they are.
   */
  readonly places: readonly number[];
  /** Attention of each of them over the patches, mean over heads: [layers][places][patches]. */
  readonly toPatches: readonly (readonly (readonly number[])[])[];
  /** Attention of each of them to the compressed tokens together, [layers][places]. */
  readonly toCompressed: readonly (readonly number[])[];
  /** Attention of each of them to the text up to itself, [layers][places]. */
  readonly toText: readonly (readonly number[])[];
};

const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/**
 * Attention of a prompt's tokens in pre-fusion, over its image. Throws `OptionsError` for other
 * systems and without fusion layers, `PromptError` for a prompt without an image.
 */
export const fusionAttention = async (
  model: VisionLanguageModel,
  { ids, isAnswer, media: [item] }: Pick<EncodedRequest, "ids" | "isAnswer" | "media">,
): Promise<FusionAttention> => {
  const config = configOf(model);
  const { prefusionLayers } = config;
  if (prefusionLayers === 0) {
    throw new OptionsError(
      "fusionAttention: the model must have fusion layers, got 0; look at its compressor instead",
    );
  }
  if (item?.kind !== "image") {
    throw new PromptError(
      `fusionAttention: the prompt must be about an image, got ${item?.kind ?? "none"}; give a frame as an image`,
    );
  }
  const length = ids.length;
  const rawAnswers = config.variant.earlierAnswers === "raw" ? [isAnswer] : undefined;
  const plan = planFusion([ids], config, rawAnswers);
  const total = plan.keyMask.shape[1];
  const taps = Taps.create();
  const params = llavaMiniParams(new ParameterScope(), config);
  const pixels = input("pixels", "float32", llavaMiniVisualShapes(config, 1).pixels);
  const visual = llavaMiniVisual(params, pixels, config);
  llavaMiniFuse(
    params,
    {
      visual,
      ids: input("ids", "int64", [1, length]),
      keyMask: input("keyMask", "bool", [1, total]),
      positions: input("positions", "int64", [1, total]),
      tables: llamaRopeTables(config.language, total),
    },
    config,
    taps,
  );
  const layers = Array.from({ length: prefusionLayers }, (_, layer) => `layer.${layer}`);
  const outputs = layers.map((name, layer) => {
    const weights = taps.tensors.get(`prefusion.layers.${layer}.weights`) as Tensor;
    return [name, slice(mean(weights, [1]), 1, total - length, total)] as const; // [1, L, S]
  });
  const session = await model.open(createGraph("analyze.fusion", Object.fromEntries(outputs)));
  try {
    const known = ids.map((id) => Math.max(id, 0));
    const results = await session.run({
      pixels: imageFeed(item.views),
      ids: int64([1, length], known),
      ...plan,
    });
    const visualPlaces = fusedVisualPlaces(config);
    const numPatches = fusedPatches(config);
    const isFused = Array.from(plan.keyMask.data.subarray(visualPlaces), (value) => value === 1);
    const places = isFused.flatMap((fused, place) => (fused ? [place] : []));
    const rows = layers.map((name) => {
      const all = rowsOf(results[name]);
      return places.map((place) => all[place]);
    });
    const part = (from: number, to?: number) =>
      rows.map((layer) => layer.map((row) => sumOf(row.slice(from, to))));
    return {
      patches: locateFusedPatches(config),
      places,
      toPatches: rows.map((layer) => layer.map((row) => row.slice(0, numPatches))),
      toCompressed: part(numPatches, visualPlaces),
      toText: part(visualPlaces),
    };
  } finally {
    await session.close();
  }
};
