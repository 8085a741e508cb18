/**
 * CLIP's vision transformer (Radford et al. 2021, arXiv 2103.00020; shapes and names as in Hugging
 * Face's `CLIPVisionModel`), up to the hidden state that LLaVA models read.
 */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import {
  add,
  broadcast,
  concat,
  gradientCheckpoint,
  normal,
  reshape,
  slice,
  type Tensor,
} from "../graph/index.js";
import { bidirectionalSelfAttention } from "../nn/attention-block.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import {
  type PatchEmbeddingParams,
  patchEmbedding,
  patchEmbeddingParams,
} from "../nn/patch-embedding.js";
import type { Taps } from "../nn/taps.js";
import {
  type EncoderLayerParams,
  encoderLayer,
  encoderLayerNames,
  encoderLayerParams,
} from "./encoder-layer.js";

export type ClipConfig = {
  readonly width: number;
  readonly mlpWidth: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numChannels: number;
  readonly imageSizePx: number;
  readonly patchSizePx: number;
  readonly activation: "quick_gelu" | "gelu";
  readonly normEpsilon: number;
};

const publishedConfig = z.object({
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_channels: z.int().positive().default(3),
  image_size: z.int().positive(),
  patch_size: z.int().positive(),
  hidden_act: z.enum(["quick_gelu", "gelu"]).default("quick_gelu"),
  layer_norm_eps: z.number().positive().default(1e-5),
});

/** Reads a `CLIPVisionModel` config (or the `vision_config` of a whole CLIP). */
export const parseClipConfig = (config: unknown): ClipConfig => {
  const whole = z.object({ vision_config: z.unknown() }).safeParse(config);
  const parsed = publishedConfig.safeParse(
    whole.success && whole.data.vision_config !== undefined ? whole.data.vision_config : config,
  );
  if (!parsed.success) {
    throw new ModelConfigError(`parseClipConfig: ${z.prettifyError(parsed.error)}`);
  }
  const published = parsed.data;
  if (published.hidden_size % published.num_attention_heads !== 0) {
    throw new ModelConfigError(
      `parseClipConfig: hidden_size must divide into num_attention_heads, got ${published.hidden_size} and ${published.num_attention_heads}`,
    );
  }
  if (published.image_size % published.patch_size !== 0) {
    throw new ModelConfigError(
      `parseClipConfig: image_size must be a multiple of patch_size, got ${published.image_size} and ${published.patch_size}`,
    );
  }
  return {
    width: published.hidden_size,
    mlpWidth: published.intermediate_size,
    numLayers: published.num_hidden_layers,
    numHeads: published.num_attention_heads,
    numChannels: published.num_channels,
    imageSizePx: published.image_size,
    patchSizePx: published.patch_size,
    activation: published.hidden_act,
    normEpsilon: published.layer_norm_eps,
  };
};

/** Patches per side of a view. */
export const clipGridSide = ({ imageSizePx, patchSizePx }: ClipConfig): number =>
  imageSizePx / patchSizePx;

export type ClipParams = {
  readonly classToken: Tensor; // [D]
  readonly patchEmbedding: PatchEmbeddingParams;
  readonly positions: Tensor; // [1 + N, D]
  readonly preNorm: LayerNormParams;
  readonly layers: readonly EncoderLayerParams[];
  readonly postNorm: LayerNormParams;
};

export const clipParams = (scope: ParameterScope, config: ClipConfig): ClipParams => {
  const { width, numLayers, numChannels, patchSizePx } = config;
  return {
    classToken: scope.parameter("classToken", [width], normal(width ** -0.5)),
    patchEmbedding: patchEmbeddingParams(
      scope.child("patchEmbedding"),
      width,
      numChannels,
      patchSizePx,
      { bias: false },
    ),
    positions: scope.parameter(
      "positions",
      [1 + clipGridSide(config) ** 2, width],
      normal(width ** -0.5),
    ),
    preNorm: layerNormParams(scope.child("preNorm"), width),
    layers: scope.list("layers", numLayers, (layer) => encoderLayerParams(layer, config)),
    postNorm: layerNormParams(scope.child("postNorm"), width),
  };
};

/**
 * Hidden state `layer` of the vision tower: 0 is the embedding after the first norm, i the output of
 * layer i; negative counts from the end (-1 the last). Layers after it are not computed.
 * pixels [V, C, side, side] → [V, 1 + N, D], class token first.
 */
export const clipHiddenState = (
  params: ClipParams,
  pixels: Tensor,
  config: ClipConfig,
  layer: number,
  taps?: Taps,
): Tensor => {
  const { numHeads, numLayers, width, normEpsilon } = config;
  const last = layer < 0 ? layer + numLayers + 1 : layer;
  if (!Number.isInteger(last) || last < 0 || last > numLayers) {
    throw new ModelConfigError(
      `clipHiddenState: layer must be within ±${numLayers + 1}, got ${layer}; check mm_vision_select_layer`,
    );
  }
  const patches = patchEmbedding(params.patchEmbedding, pixels); // [V, N, D]
  taps?.add("patches", patches);
  const views = pixels.shape[0];
  const classToken = broadcast(reshape(params.classToken, [1, 1, width]), [views, 1, width]);
  const embedded = add(concat([classToken, patches], 1), params.positions);
  taps?.add("embeddings", embedded);
  const seeAll = (attention: EncoderLayerParams["attention"], normed: Tensor): Tensor =>
    bidirectionalSelfAttention(attention, normed, numHeads);
  let x = applyLayerNorm(params.preNorm, embedded, normEpsilon);
  taps?.add("hidden.0", x);
  for (let index = 0; index < last; index += 1) {
    const layer = params.layers[index];
    x = gradientCheckpoint(
      encoderLayer(layer, x, seeAll, config, taps?.under(`layers.${index}`)),
      x,
    );
    taps?.add(`hidden.${index + 1}`, x);
  }
  return x;
};

/** The normalised class token of the last hidden state. hidden [V, 1 + N, D] → [V, D]. */
export const clipPooled = (params: ClipParams, hidden: Tensor, config: ClipConfig): Tensor =>
  applyLayerNorm(
    params.postNorm,
    reshape(slice(hidden, 1, 0, 1), [hidden.shape[0], config.width]),
    config.normEpsilon,
  );

/** The patch tokens of a hidden state, class token dropped. [V, 1 + N, D] → [V, N, D]. */
export const dropClassToken = (hidden: Tensor): Tensor => slice(hidden, 1, 1, hidden.shape[1]);

/** Published names of the parameters, below `vision_model.` (their spelling). */
export const clipNames: readonly (readonly [string, string])[] = [
  ["classToken", "embeddings.class_embedding"],
  ["patchEmbedding", "embeddings.patch_embedding"],
  ["positions", "embeddings.position_embedding.weight"],
  ["preNorm", "pre_layrnorm"],
  ["postNorm", "post_layernorm"],
  ...encoderLayerNames.map(
    ([own, published]) => [`layers.{i}.${own}`, `encoder.layers.{i}.${published}`] as const,
  ),
];
