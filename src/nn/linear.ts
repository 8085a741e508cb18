import { linear, type Tensor, uniform, zeros } from "../graph/index.js";
import type { ParameterScope } from "./parameter-scope.js";

export type LinearParams = {
  readonly weight: Tensor; // [out, in]
  readonly bias?: Tensor; // [out]
};

/** A linear layer in -> out. Starts as PyTorch's: uniform in ±1/sqrt(in). */
export const linearParams = (
  scope: ParameterScope,
  outWidth: number,
  inWidth: number,
  { bias = true }: { readonly bias?: boolean } = {},
): LinearParams => ({
  weight: scope.parameter("weight", [outWidth, inWidth], uniform(1 / Math.sqrt(inWidth))),
  ...(bias && { bias: scope.parameter("bias", [outWidth], zeros) }),
});

/** x [..., in] → [..., out]. */
export const applyLinear = ({ weight, bias }: LinearParams, x: Tensor): Tensor =>
  linear(x, weight, bias);
