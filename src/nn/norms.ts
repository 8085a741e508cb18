import { add, layerNorm, ones, rmsNorm, scalar, type Tensor, zeros } from "../graph/index.js";
import type { ParameterScope } from "./parameter-scope.js";

export type LayerNormParams = { readonly weight: Tensor; readonly bias: Tensor }; // [D] each

export const layerNormParams = (scope: ParameterScope, width: number): LayerNormParams => ({
  weight: scope.parameter("weight", [width], ones),
  bias: scope.parameter("bias", [width], zeros),
});

/** x [..., D] → [..., D]. */
export const applyLayerNorm = (
  { weight, bias }: LayerNormParams,
  x: Tensor,
  epsilon: number,
): Tensor => layerNorm(x, weight, bias, epsilon);

export type RmsNormParams = {
  readonly weight: Tensor; // [D]
  /** Added to the weight. */
  readonly offset?: Tensor; // []
};

/** `isZeroCentred`: the weight is stored less one, as Qwen3-Next and 3.5 do. */
export const rmsNormParams = (
  scope: ParameterScope,
  width: number,
  { isZeroCentred = false }: { readonly isZeroCentred?: boolean } = {},
): RmsNormParams =>
  isZeroCentred
    ? { weight: scope.parameter("weight", [width], zeros), offset: scalar(1) }
    : { weight: scope.parameter("weight", [width], ones) };

/** x [..., D] → [..., D]. */
export const applyRmsNorm = (
  { weight, offset }: RmsNormParams,
  x: Tensor,
  epsilon: number,
): Tensor => rmsNorm(x, offset === undefined ? weight : add(weight, offset), epsilon);
