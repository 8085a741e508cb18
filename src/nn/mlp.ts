import { multiply, silu, type Tensor } from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "./linear.js";
import type { ParameterScope } from "./parameter-scope.js";

export type MlpParams = { readonly up: LinearParams; readonly down: LinearParams };

export const mlpParams = (scope: ParameterScope, width: number, innerWidth: number): MlpParams => ({
  up: linearParams(scope.child("up"), innerWidth, width),
  down: linearParams(scope.child("down"), width, innerWidth),
});

/** Two layers with an activation between them. x [..., D] → [..., D]. */
export const mlp = (
  { up, down }: MlpParams,
  x: Tensor,
  activation: (x: Tensor) => Tensor,
): Tensor => applyLinear(down, activation(applyLinear(up, x)));

export type GatedMlpParams = {
  readonly gate: LinearParams;
  readonly up: LinearParams;
  readonly down: LinearParams;
};

export const gatedMlpParams = (
  scope: ParameterScope,
  width: number,
  innerWidth: number,
  options: { readonly bias: boolean },
): GatedMlpParams => ({
  gate: linearParams(scope.child("gate"), innerWidth, width, options),
  up: linearParams(scope.child("up"), innerWidth, width, options),
  down: linearParams(scope.child("down"), width, innerWidth, options),
});

/** SwiGLU: `down(silu(gate x) * up x)` (Shazeer 2020). x [..., D] → [..., D]. */
export const gatedMlp = ({ gate, up, down }: GatedMlpParams, x: Tensor): Tensor =>
  applyLinear(down, multiply(silu(applyLinear(gate, x)), applyLinear(up, x)));
