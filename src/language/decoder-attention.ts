/** Attention as LLaMA's and Qwen's decoders have it, over a whole call or over a cache. */
import {
  attentionWithWeights,
  type CacheTensors,
  cachedAttention,
  cacheRows,
  multiply,
  reshape,
  rope,
  sigmoid,
  slice,
  type Tensor,
} from "../graph/index.js";
import { type AttentionParams, attentionParams } from "../nn/attention-block.js";
import { applyLinear } from "../nn/linear.js";
import { applyRmsNorm, type RmsNormParams, rmsNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import { biasOf, type LlamaContext } from "./layer-context.js";
import type { LlamaConfig } from "./llama-config.js";

export type DecoderAttentionParams = {
  readonly attention: AttentionParams;
  readonly queryNorm?: RmsNormParams; // [E]
  readonly keyNorm?: RmsNormParams; // [E]
};

export const decoderAttentionParams = (
  scope: ParameterScope,
  config: LlamaConfig,
): DecoderAttentionParams => {
  const norm = (name: string): RmsNormParams =>
    rmsNormParams(scope.child(name), config.headWidth, { isZeroCentred: config.zeroCentredNorms });
  return {
    attention: attentionParams(scope.child("attention"), config.width, {
      queryWidth: config.numHeads * config.headWidth,
      keyValueWidth: config.numKeyValueHeads * config.headWidth,
      bias: config.attentionBias,
      outputGate: config.outputGate,
    }),
    ...(config.queryKeyNorm && { queryNorm: norm("queryNorm"), keyNorm: norm("keyNorm") }),
  };
};

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

/** Query and gate of every head by turns, [B, T, H·2E] → two of [B, T, H·E]. */
const splitGate = (
  projected: Tensor,
  { numHeads, headWidth }: LlamaConfig,
): readonly [query: Tensor, gate: Tensor] => {
  const [batch, length] = projected.shape;
  const heads = reshape(projected, [batch, length, numHeads, 2 * headWidth]);
  const half = (start: number): Tensor =>
    reshape(slice(heads, 3, start, start + headWidth), [batch, length, numHeads * headWidth]);
  return [half(0), half(headWidth)];
};

/** x [B, T, D], normed → [B, T, D]; `rows` is what the layer's cache grows by. */
export const decoderAttention = (
  params: DecoderAttentionParams,
  x: Tensor,
  context: LlamaContext,
  layerIndex: number,
  config: LlamaConfig,
  taps?: Taps,
): { readonly output: Tensor; readonly rows?: CacheTensors } => {
  const { numHeads, numKeyValueHeads, headWidth } = config;
  const { positions, tables } = context;
  const turn = (projected: Tensor, norm: RmsNormParams | undefined, heads: number): Tensor => {
    const perHead = norm === undefined ? projected : normHeads(norm, projected, heads, config);
    return rope(perHead, positions, tables, heads);
  };
  const projected = applyLinear(params.attention.query, x);
  const [own, gate] = config.outputGate ? splitGate(projected, config) : [projected];
  const query = turn(own, params.queryNorm, numHeads);
  const key = turn(applyLinear(params.attention.key, x), params.keyNorm, numKeyValueHeads);
  const value = applyLinear(params.attention.value, x);
  const attributes = { numHeads, numKeyValueHeads, scale: 1 / Math.sqrt(headWidth) };
  const finish = (mixed: Tensor): Tensor =>
    applyLinear(
      params.attention.output,
      gate === undefined ? mixed : multiply(mixed, sigmoid(gate)),
    );
  if (context.kind === "full") {
    const bias = biasOf(context, layerIndex);
    const causal = { ...attributes, causal: true };
    const { output, weights } = attentionWithWeights(query, key, value, causal, bias);
    taps?.add("weights", weights);
    return { output: finish(output) };
  }
  const past = context.caches[layerIndex] as CacheTensors;
  const { output } = cachedAttention(query, key, value, past, context, attributes);
  const rows = { key: cacheRows(key, numKeyValueHeads), value: cacheRows(value, numKeyValueHeads) };
  return { output: finish(output), rows };
};
