/**
 * The LLaMA decoder (Touvron et al. 2023, arXiv 2302.13971; grouped queries and rotary scaling as in
 * Llama 3.1; semantics of Hugging Face's `LlamaForCausalLM`). Its layers are also what LLaVA-Mini's
 * pre-fusion is made of, and with biases or norms on queries and keys those of Qwen (`qwen.ts`).
 */
import { GraphError } from "../errors.js";
import {
  add,
  gatherRows,
  gradientCheckpoint,
  linear,
  normal,
  type RopeTables,
  reshape,
  ropeTables,
  type Tensor,
  uniform,
} from "../graph/index.js";
import { type GatedMlpParams, gatedMlp, gatedMlpParams } from "../nn/mlp.js";
import { applyRmsNorm, type RmsNormParams, rmsNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type DecoderAttentionParams,
  decoderAttention,
  decoderAttentionParams,
} from "./decoder-attention.js";
import { type DeltaNetParams, deltaNetParams, gatedDeltaNet } from "./gated-delta-net.js";
import { biasOf, type LayerMemory, type LlamaContext } from "./layer-context.js";
import { deltaNetOf, type LlamaConfig } from "./llama-config.js";
import { ropeInverseFrequencies } from "./rope-frequencies.js";

type TokenMixingParams =
  | (DecoderAttentionParams & { readonly deltaNet?: undefined })
  | { readonly deltaNet: DeltaNetParams; readonly attention?: undefined };

export type LlamaLayerParams = TokenMixingParams & {
  readonly attentionNorm: RmsNormParams;
  readonly mlpNorm: RmsNormParams;
  readonly mlp: GatedMlpParams;
};

export type LlamaParams = {
  readonly embedding: Tensor; // [W, D]
  readonly layers: readonly LlamaLayerParams[];
  readonly norm: RmsNormParams;
  readonly head?: Tensor; // [W, D]; absent when tied to the embedding
};

/** Parameters of layer `layerIndex`, which says whether it attends or has a recurrence. */
export const llamaLayerParams = (
  scope: ParameterScope,
  config: LlamaConfig,
  layerIndex: number,
): LlamaLayerParams => {
  const recurrence = deltaNetOf(config, layerIndex);
  const mixing =
    recurrence === undefined
      ? decoderAttentionParams(scope, config)
      : { deltaNet: deltaNetParams(scope.child("deltaNet"), config.width, recurrence) };
  const centre = { isZeroCentred: config.zeroCentredNorms };
  return {
    attentionNorm: rmsNormParams(scope.child("attentionNorm"), config.width, centre),
    ...mixing,
    mlpNorm: rmsNormParams(scope.child("mlpNorm"), config.width, centre),
    mlp: gatedMlpParams(scope.child("mlp"), config.width, config.mlpWidth, {
      bias: config.mlpBias,
    }),
  };
};

export const llamaParams = (scope: ParameterScope, config: LlamaConfig): LlamaParams => ({
  // First values as PyTorch's layers: with linear layers of that size, smaller embeddings would drown in the residual
  // stream, and a decoder trained from here would need hundreds of steps to tell its tokens apart.
  embedding: scope.parameter(
    "embedding",
    [config.vocabularySize, config.width],
    normal(config.tiedHead ? config.width ** -0.5 : 1),
  ),
  layers: scope.list("layers", config.numLayers, (layer, index) =>
    llamaLayerParams(layer, config, index),
  ),
  norm: rmsNormParams(scope.child("norm"), config.width, {
    isZeroCentred: config.zeroCentredNorms,
  }),
  ...(!config.tiedHead && {
    head: scope.parameter(
      "head",
      [config.vocabularySize, config.width],
      uniform(1 / Math.sqrt(config.width)),
    ),
  }),
});

/** Cosines and sines for places 0 .. numPositions-1. */
export const llamaRopeTables = (config: LlamaConfig, numPositions: number): RopeTables =>
  ropeTables(
    ropeInverseFrequencies(
      config.rotaryWidth ?? config.headWidth,
      config.ropeTheta,
      config.ropeScaling,
    ),
    numPositions,
  );

/** The part of a layer in which tokens see each other. x [B, T, D] → [B, T, D]. */
const mixTokens = (
  params: LlamaLayerParams,
  x: Tensor,
  context: LlamaContext,
  layerIndex: number,
  config: LlamaConfig,
  taps?: Taps,
): { readonly output: Tensor; readonly rows?: LayerMemory } => {
  if (params.attention !== undefined) {
    return decoderAttention(params, x, context, layerIndex, config, taps);
  }
  const { deltaNet } = config;
  if (deltaNet === undefined) {
    throw new GraphError(
      `llama: layer ${layerIndex} has a recurrence that the config knows nothing of; make both from one config`,
    );
  }
  const { output, memory } = gatedDeltaNet(
    params.deltaNet,
    x,
    context,
    layerIndex,
    deltaNet,
    config,
    taps,
  );
  return context.kind === "full" ? { output } : { output, rows: memory };
};

/**
 * One decoder layer. x [B, T, D] → [B, T, D], or [J, D] where only `readPlaces` [J] are wanted of it;
 * `rows` is what the layer keeps of these tokens.
 */
export const llamaLayer = (
  params: LlamaLayerParams,
  x: Tensor,
  context: LlamaContext,
  layerIndex: number,
  config: LlamaConfig,
  taps?: Taps,
  readPlaces?: Tensor,
): { readonly output: Tensor; readonly rows?: LayerMemory } => {
  const normed = applyRmsNorm(params.attentionNorm, x, config.normEpsilon);
  taps?.add("norm", normed);
  const { output: mixed, rows } = mixTokens(params, normed, context, layerIndex, config, taps);
  taps?.add("attention", mixed);
  const everywhere = add(x, mixed);
  const middle =
    readPlaces === undefined
      ? everywhere
      : gatherRows(reshape(everywhere, [-1, config.width]), readPlaces);
  const output = add(
    middle,
    gatedMlp(params.mlp, applyRmsNorm(params.mlpNorm, middle, config.normEpsilon)),
  );
  taps?.add("output", output);
  return { output, rows };
};

/**
 * All layers and the final norm. embeddings [B, T, D] → hidden [B, T, D], or [J, D] of the context's
 * `readPlaces`, and, for a cached context, what each layer keeps: the keys and values of the new tokens, [B, K, T, E'], which the caller puts into
 * the caches, or the state after them, which takes the place of the one before. The caches themselves are no results: runtimes hand out results as copies, and a copy of
 * all caches costs more than the token.
 */
export const llama = (
  params: LlamaParams,
  embeddings: Tensor,
  context: LlamaContext,
  config: LlamaConfig,
  taps?: Taps,
): { readonly hidden: Tensor; readonly newRows: readonly LayerMemory[] } => {
  if (config.deltaNet && context.kind === "full" && Array.isArray(context.bias)) {
    throw new GraphError(
      "llama: tokens can be hidden from single layers only where all layers attend, got recurrent ones; give one bias for all",
    );
  }
  const newRows: LayerMemory[] = [];
  const readPlaces = context.kind === "full" ? context.readPlaces : undefined;
  const last = params.layers.length - 1;
  let x = embeddings;
  params.layers.forEach((layer, index) => {
    const { output, rows } = llamaLayer(
      layer,
      x,
      context,
      index,
      config,
      taps?.under(`layers.${index}`),
      index === last ? readPlaces : undefined,
    );
    const bias = context.kind === "full" ? biasOf(context, index) : undefined;
    x = gradientCheckpoint(output, x, bias === undefined ? [] : [bias]);
    if (rows !== undefined) newRows.push(rows);
  });
  const hidden = applyRmsNorm(params.norm, x, config.normEpsilon);
  taps?.add("norm", hidden);
  return { hidden, newRows };
};

/** Token embeddings. ids [B, T] int64 → [B, T, D]. */
export const embedTokens = (params: LlamaParams, ids: Tensor): Tensor =>
  gatherRows(params.embedding, ids);

/** Next-token scores. hidden [..., D] → [..., W]. */
export const languageHead = (params: LlamaParams, hidden: Tensor): Tensor =>
  linear(hidden, params.head ?? params.embedding);

/** Published names of one decoder layer, below `layers.{i}.`; pre-fusion layers have the same. */
export const llamaLayerNames: readonly (readonly [string, string])[] = [
  ["attentionNorm", "input_layernorm"],
  ["attention.query", "self_attn.q_proj"],
  ["attention.key", "self_attn.k_proj"],
  ["attention.value", "self_attn.v_proj"],
  ["attention.output", "self_attn.o_proj"],
  ["mlpNorm", "post_attention_layernorm"],
  ["mlp.gate", "mlp.gate_proj"],
  ["mlp.up", "mlp.up_proj"],
  ["mlp.down", "mlp.down_proj"],
];

/** Published names of the whole decoder. */
export const llamaNames: readonly (readonly [string, string])[] = [
  ["embedding", "model.embed_tokens.weight"],
  ["norm", "model.norm"],
  ["head", "lm_head.weight"],
  ...llamaLayerNames.map(
    ([own, published]) => [`layers.{i}.${own}`, `model.layers.{i}.${published}`] as const,
  ),
];
