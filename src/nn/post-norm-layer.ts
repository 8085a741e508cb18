/**
 * The encoder layer of the first Transformer (Vaswani et al. 2017, section 3.1), a norm after each
 * residual sum, as PyTorch's `TransformerEncoderLayer` computes it: ReLU, biases, ε 1e-5, and the
 * projections of queries, keys and values as one matrix.
 */
import {
  add,
  attention,
  linear,
  relu,
  slice,
  type Tensor,
  uniform,
  zeros,
} from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "./linear.js";
import { type MlpParams, mlp, mlpParams } from "./mlp.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "./norms.js";
import type { ParameterScope } from "./parameter-scope.js";

export type PostNormLayerParams = {
  readonly input: { readonly weight: Tensor; readonly bias: Tensor }; // [3*D, D] query, key, value rows; [3*D]
  readonly output: LinearParams; // [D, D]
  readonly attentionNorm: LayerNormParams;
  readonly mlp: MlpParams;
  readonly mlpNorm: LayerNormParams;
};

const normEpsilon = 1e-5;

export const postNormLayerParams = (
  scope: ParameterScope,
  width: number,
  mlpWidth: number,
): PostNormLayerParams => ({
  input: {
    // Xavier-uniform over the joint matrix, PyTorch's start of MultiheadAttention.
    weight: scope.parameter(
      "input.weight",
      [3 * width, width],
      uniform(Math.sqrt(6 / (4 * width))),
    ),
    bias: scope.parameter("input.bias", [3 * width], zeros),
  },
  output: linearParams(scope.child("output"), width, width),
  attentionNorm: layerNormParams(scope.child("attentionNorm"), width),
  mlp: mlpParams(scope.child("mlp"), width, mlpWidth),
  mlpNorm: layerNormParams(scope.child("mlpNorm"), width),
});

/** Queries, keys and values of x side by side: [..., D] → [..., 3*D]. */
export const projectInput = ({ input }: PostNormLayerParams, x: Tensor): Tensor =>
  linear(x, input.weight, input.bias);

export type PostNormLayerOptions = {
  readonly numHeads: number;
  /** `projectInput` of x, [B, T, 3*D], where it is to be had for less than a product of all of x. */
  readonly projected?: Tensor;
  /** Added to the scores, [B or 1, 1, T, T]. */
  readonly bias?: Tensor;
  /**
   * Every token sees itself and exact copies of itself only. What attention mixes is then the token's
   * own value, so that queries, keys and the copies need not be computed.
   */
  readonly seesOnlyItself?: boolean;
};

/** x [B, T, D] → [B, T, D]; all tokens of a row see each other. */
export const postNormLayer = (
  params: PostNormLayerParams,
  x: Tensor,
  { numHeads, projected, bias, seesOnlyItself = false }: PostNormLayerOptions,
): Tensor => {
  const width = Number(x.shape[2]);
  const project = (part: number): Tensor => {
    const [from, to] = [part * width, (part + 1) * width];
    if (projected !== undefined) return slice(projected, 2, from, to);
    const { weight, bias } = params.input;
    return linear(x, slice(weight, 0, from, to), slice(bias, 0, from, to));
  };
  const attributes = {
    numHeads,
    numKeyValueHeads: numHeads,
    scale: 1 / Math.sqrt(width / numHeads),
    causal: false,
  };
  const mixed = seesOnlyItself
    ? project(2)
    : attention(project(0), project(1), project(2), attributes, bias);
  const attended = applyLayerNorm(
    params.attentionNorm,
    add(x, applyLinear(params.output, mixed)),
    normEpsilon,
  );
  return applyLayerNorm(
    params.mlpNorm,
    add(attended, mlp(params.mlp, attended, relu)),
    normEpsilon,
  );
};

/** Published names, below the layer's own. */
export const postNormLayerNames: readonly (readonly [string, string])[] = [
  ["input.weight", "self_attn.in_proj_weight"],
  ["input.bias", "self_attn.in_proj_bias"],
  ["output", "self_attn.out_proj"],
  ["attentionNorm", "norm1"],
  ["mlp.up", "linear1"],
  ["mlp.down", "linear2"],
  ["mlpNorm", "norm2"],
];
