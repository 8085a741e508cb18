import {
  add,
  type Initializer,
  linear,
  multiply,
  scalar,
  type Tensor,
  uniform,
  zeros,
} from "../graph/index.js";
import type { ParameterScope } from "./parameter-scope.js";

/** A low-rank addition to a linear layer's weight: `scale · up down` (Hu et al. 2021, arXiv 2106.09685). */
export type LoraParams = {
  readonly down: Tensor; // [r, in]
  readonly up: Tensor; // [out, r]
  readonly scale: Tensor; // []
};

export type LinearParams = {
  readonly weight: Tensor; // [out, in]
  readonly bias?: Tensor; // [out]
  readonly lora?: LoraParams;
};

/** Names of an adapter's parameters below its layer: those of PEFT, in our layout as in the published one. */
export const loraNames = { down: "lora_A.weight", up: "lora_B.weight" } as const;

/** First values as PEFT's: `down` as PyTorch's linear layers, `up` zero, so that nothing changes at first. */
const loraParams = (
  scope: ParameterScope,
  outWidth: number,
  inWidth: number,
): LoraParams | undefined => {
  const shape = scope.adapter;
  if (shape === undefined) return undefined;
  const { rank, scale } = shape;
  return {
    down: scope.parameter(loraNames.down, [rank, inWidth], uniform(1 / Math.sqrt(inWidth))),
    up: scope.parameter(loraNames.up, [outWidth, rank], zeros),
    scale: scalar(scale),
  };
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
): LinearParams => {
  const lora = loraParams(scope, outWidth, inWidth);
  return {
    weight: scope.parameter("weight", [outWidth, inWidth], start),
    ...(bias && { bias: scope.parameter("bias", [outWidth], zeros) }),
    ...(lora && { lora }),
  };
};

/** x [..., in] → [..., out]. */
export const applyLinear = ({ weight, bias, lora }: LinearParams, x: Tensor): Tensor => {
  const y = linear(x, weight, bias);
  if (lora === undefined) return y;
  return add(y, multiply(linear(linear(x, lora.down), lora.up), lora.scale));
};
