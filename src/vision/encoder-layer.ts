/** The layer that all vision transformers here are made of (Dosovitskiy et al. 2021, pre-norm). */
import { add, gelu, geluTanh, quickGelu, type Tensor } from "../graph/index.js";
import {
  type AttentionParams,
  attentionParams,
  type JointAttentionParams,
  jointAttentionParams,
} from "../nn/attention-block.js";
import { type MlpParams, mlp, mlpParams } from "../nn/mlp.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";

export type EncoderLayerParams = {
  readonly norm1: LayerNormParams;
  readonly attention: AttentionParams | JointAttentionParams;
  readonly norm2: LayerNormParams;
  readonly mlp: MlpParams;
};

/** Activations by their names in Hugging Face's configs. */
export const activations = {
  quick_gelu: quickGelu,
  gelu,
  gelu_pytorch_tanh: geluTanh,
} as const;

export type EncoderLayerConfig = {
  readonly width: number;
  readonly mlpWidth: number;
  readonly numHeads: number;
  readonly normEpsilon: number;
  readonly activation: keyof typeof activations;
  /** Whether query, key and value are one matrix. */
  readonly jointProjection?: boolean;
};

export const encoderLayerParams = (
  scope: ParameterScope,
  { width, mlpWidth, jointProjection = false }: EncoderLayerConfig,
): EncoderLayerParams => ({
  norm1: layerNormParams(scope.child("norm1"), width),
  attention: jointProjection
    ? jointAttentionParams(scope.child("attention"), width)
    : attentionParams(scope.child("attention"), width),
  norm2: layerNormParams(scope.child("norm2"), width),
  mlp: mlpParams(scope.child("mlp"), width, mlpWidth),
});

/**
 * `x + attend(norm1 x)`, then `x + mlp(norm2 x)`. x [..., D] → [..., D]; `attend` says which tokens
 * see each other.
 */
export const encoderLayer = (
  params: EncoderLayerParams,
  x: Tensor,
  attend: (attention: EncoderLayerParams["attention"], normed: Tensor) => Tensor,
  { normEpsilon, activation }: EncoderLayerConfig,
  taps?: Taps,
): Tensor => {
  const normed = applyLayerNorm(params.norm1, x, normEpsilon);
  taps?.add("norm1", normed);
  const attended = attend(params.attention, normed);
  taps?.add("attention", attended);
  const mixed = add(x, attended);
  const moved = mlp(
    params.mlp,
    applyLayerNorm(params.norm2, mixed, normEpsilon),
    activations[activation],
  );
  taps?.add("mlp", moved);
  return add(mixed, moved);
};

/** Published names of a layer, where query, key and value are matrices of their own. */
export const encoderLayerNames: readonly (readonly [string, string])[] = [
  ["norm1", "layer_norm1"],
  ["norm2", "layer_norm2"],
  ["attention.query", "self_attn.q_proj"],
  ["attention.key", "self_attn.k_proj"],
  ["attention.value", "self_attn.v_proj"],
  ["attention.output", "self_attn.out_proj"],
  ["mlp.up", "mlp.fc1"],
  ["mlp.down", "mlp.fc2"],
];
