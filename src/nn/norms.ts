import { layerNorm, ones, rmsNorm, type Tensor, zeros } from "../graph/index.js";
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

export type RmsNormParams = { readonly weight: Tensor }; // [D]

export const rmsNormParams = (scope: ParameterScope, width: number): RmsNormParams => ({
  weight: scope.parameter("weight", [width], ones),
});

/** x [..., D] → [..., D]. */
export const applyRmsNorm = ({ weight }: RmsNormParams, x: Tensor, epsilon: number): Tensor =>
  rmsNorm(x, weight, epsilon);
