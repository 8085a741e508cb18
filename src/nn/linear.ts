import { type Initializer, linear, type Tensor, uniform, zeros } from "../graph/index.js";
import type { ParameterScope } from "./parameter-scope.js";

export type LinearParams = {
  readonly weight: Tensor; // [out, in]
  readonly bias?: Tensor; // [out]
};

/** A linear layer in -> out. Its weight starts as PyTorch's, uniform in ±1/sqrt(in), or with `start`. */
export const linearParams = (
  scope: ParameterScope,
  outWidth: number,
  inWidth: number,
  {
    bias = true,
    start = uniform(1 / Math.sqrt(inWidth)),
  }: { readonly bias?: boolean; readonly start?: Initializer } = {},
): LinearParams => ({
  weight: scope.parameter("weight", [outWidth, inWidth], start),
  ...(bias && { bias: scope.parameter("bias", [outWidth], zeros) }),
});

/** x [..., in] → [..., out]. */
export const applyLinear = ({ weight, bias }: LinearParams, x: Tensor): Tensor =>
  linear(x, weight, bias);
