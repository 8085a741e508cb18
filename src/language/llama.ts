/**
 * The LLaMA decoder (Touvron et al. 2023, arXiv 2302.13971; grouped queries and rotary scaling as in
 * Llama 3.1; semantics of Hugging Face's `LlamaForCausalLM`). Its layers are also what LLaVA-Mini's
 * pre-fusion is made of, and with biases or norms on queries and keys those of Qwen (`qwen.ts`).
 */
import {
  add,
  alignedHeadWidth,
  attentionWithWeights,
  type CacheTensors,
  cachedAttention,
  cacheRows,
  type Dim,
  gatherRows,
  gradientCheckpoint,
  linear,
  normal,
  type RopeTables,
  reshape,
  rope,
  ropeTables,
  Tensor,
  uniform,
} from "../graph/index.js";
import { type AttentionParams, attentionParams } from "../nn/attention-block.js";
import { applyLinear } from "../nn/linear.js";
import { type GatedMlpParams, gatedMlp, gatedMlpParams } from "../nn/mlp.js";
import { applyRmsNorm, type RmsNormParams, rmsNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import type { LlamaConfig } from "./llama-config.js";
import { ropeInverseFrequencies } from "./rope-frequencies.js";

export type LlamaLayerParams = {
  readonly attentionNorm: RmsNormParams;
  readonly attention: AttentionParams;
  readonly queryNorm?: RmsNormParams; // [E]
  readonly keyNorm?: RmsNormParams; // [E]
  readonly mlpNorm: RmsNormParams;
  readonly mlp: GatedMlpParams;
};

export type LlamaParams = {
  readonly embedding: Tensor; // [W, D]
  readonly layers: readonly LlamaLayerParams[];
  readonly norm: RmsNormParams;
  readonly head?: Tensor; // [W, D]; absent when tied to the embedding
};

export const llamaLayerParams = (scope: ParameterScope, config: LlamaConfig): LlamaLayerParams => ({
  attentionNorm: rmsNormParams(scope.child("attentionNorm"), config.width),
  attention: attentionParams(scope.child("attention"), config.width, {
    queryWidth: config.numHeads * config.headWidth,
    keyValueWidth: config.numKeyValueHeads * config.headWidth,
    bias: config.attentionBias,
  }),
  ...(config.queryKeyNorm && {
    queryNorm: rmsNormParams(scope.child("queryNorm"), config.headWidth),
    keyNorm: rmsNormParams(scope.child("keyNorm"), config.headWidth),
  }),
  mlpNorm: rmsNormParams(scope.child("mlpNorm"), config.width),
  mlp: gatedMlpParams(scope.child("mlp"), config.width, config.mlpWidth, { bias: config.mlpBias }),
});

export const llamaParams = (scope: ParameterScope, config: LlamaConfig): LlamaParams => ({
  // First values as PyTorch's layers: with linear layers of that size, smaller embeddings would drown in the residual
  // stream, and a decoder trained from here would need hundreds of steps to tell its tokens apart.
  embedding: scope.parameter(
    "embedding",
    [config.vocabularySize, config.width],
    normal(config.tiedHead ? config.width ** -0.5 : 1),
  ),
  layers: scope.list("layers", config.numLayers, (layer) => llamaLayerParams(layer, config)),
  norm: rmsNormParams(scope.child("norm"), config.width),
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
    ropeInverseFrequencies(config.headWidth, config.ropeTheta, config.ropeScaling),
    numPositions,
  );

/** What the tokens of a call see besides themselves. */
export type LlamaContext = {
  readonly positions: Tensor; // [B, T] int64
  readonly tables: RopeTables;
} & (
  | {
      /**
       * Causal over this call's tokens alone; `bias` [B or 1, 1, T, T] is added to the scores, the same
       * in every layer or one for each.
       */
      readonly kind: "full";
      readonly bias?: Tensor | readonly Tensor[];
    }
  | {
      /** Causal over a cache and this call's tokens. */
      readonly kind: "cached";
      readonly caches: readonly CacheTensors[]; // one a layer, [B, K, S, E]
      readonly lastIndex: Tensor; // [B] int32
      readonly totalLength: Tensor; // [1] int32
    }
);

/** What is added to the scores of one layer. */
const biasOf = (
  { bias }: Extract<LlamaContext, { readonly kind: "full" }>,
  layerIndex: number,
): Tensor | undefined => (bias instanceof Tensor || bias === undefined ? bias : bias[layerIndex]);

/** Each head normalised by itself. x [B, T, heads·E] → the same shape. */
const normHeads = (
  norm: RmsNormParams,
  x: Tensor,
  numHeads: number,
  { headWidth, normEpsilon }: LlamaConfig,
): Tensor => {
  const [batch, length] = x.shape;
  const heads = reshape(x, [batch, length, numHeads, headWidth]);
  return reshape(applyRmsNorm(norm, heads, normEpsilon), x.shape);
};

/** One decoder layer. x [B, T, D] → [B, T, D]; `rows` is what the layer's cache grows by. */
export const llamaLayer = (
  params: LlamaLayerParams,
  x: Tensor,
  context: LlamaContext,
  layerIndex: number,
  config: LlamaConfig,
  taps?: Taps,
): { readonly output: Tensor; readonly rows?: CacheTensors } => {
  const { numHeads, numKeyValueHeads, headWidth, normEpsilon } = config;
  const { positions, tables } = context;
  const normed = applyRmsNorm(params.attentionNorm, x, normEpsilon);
  taps?.add("norm", normed);
  const project = (part: "query" | "key", norm: RmsNormParams | undefined, heads: number) => {
    const projected = applyLinear(params.attention[part], normed);
    const perHead = norm === undefined ? projected : normHeads(norm, projected, heads, config);
    return rope(perHead, positions, tables, heads);
  };
  const query = project("query", params.queryNorm, numHeads);
  const key = project("key", params.keyNorm, numKeyValueHeads);
  const value = applyLinear(params.attention.value, normed);
  const attributes = { numHeads, numKeyValueHeads, scale: 1 / Math.sqrt(headWidth) };
  let mixed: Tensor;
  let rows: CacheTensors | undefined;
  if (context.kind === "full") {
    const own = biasOf(context, layerIndex);
    const attended = attentionWithWeights(query, key, value, { ...attributes, causal: true }, own);
    taps?.add("weights", attended.weights);
    mixed = attended.output;
  } else {
    const past = context.caches[layerIndex];
    mixed = cachedAttention(query, key, value, past, context, attributes).output;
    rows = { key: cacheRows(key, numKeyValueHeads), value: cacheRows(value, numKeyValueHeads) };
  }
  const attended = applyLinear(params.attention.output, mixed);
  taps?.add("attention", attended);
  const middle = add(x, attended);
  const output = add(
    middle,
    gatedMlp(params.mlp, applyRmsNorm(params.mlpNorm, middle, normEpsilon)),
  );
  taps?.add("output", output);
  return { output, rows };
};

/**
 * All layers and the final norm. embeddings [B, T, D] → hidden [B, T, D] and, for a cached context,
 * the keys and values of the new tokens of each layer, [B, K, T, E'], which the caller puts into the
 * caches. The caches themselves are no results: runtimes hand out results as copies, and a copy of
 * all caches costs more than the token.
 */
export const llama = (
  params: LlamaParams,
  embeddings: Tensor,
  context: LlamaContext,
  config: LlamaConfig,
  taps?: Taps,
): { readonly hidden: Tensor; readonly newRows: readonly CacheTensors[] } => {
  const newRows: CacheTensors[] = [];
  let x = embeddings;
  params.layers.forEach((layer, index) => {
    const { output, rows } = llamaLayer(
      layer,
      x,
      context,
      index,
      config,
      taps?.under(`layers.${index}`),
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

/** Sides of one layer's key or value cache, [B, K, S, E'], heads filled up to the aligned width. */
export const llamaCacheShape = (config: LlamaConfig, batch: Dim, capacity: Dim): readonly Dim[] => [
  batch,
  config.numKeyValueHeads,
  capacity,
  alignedHeadWidth(config.headWidth),
];

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
