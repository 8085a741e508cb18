import { attention, type Tensor } from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "./linear.js";
import type { ParameterScope } from "./parameter-scope.js";

/** The four projections of an attention layer. */
export type AttentionParams = {
  readonly query: LinearParams; // [H*E, D]
  readonly key: LinearParams; // [K*E, D]
  readonly value: LinearParams; // [K*E, D]
  readonly output: LinearParams; // [D, H*E]
};

export const attentionParams = (
  scope: ParameterScope,
  width: number,
  {
    queryWidth = width,
    keyValueWidth = width,
    bias = true,
  }: {
    readonly queryWidth?: number;
    readonly keyValueWidth?: number;
    readonly bias?: boolean;
  } = {},
): AttentionParams => ({
  query: linearParams(scope.child("query"), queryWidth, width, { bias }),
  key: linearParams(scope.child("key"), keyValueWidth, width, { bias }),
  value: linearParams(scope.child("value"), keyValueWidth, width, { bias }),
  output: linearParams(scope.child("output"), width, queryWidth, { bias }),
});

/** Every token sees every other of its view. x [B, N, D] → [B, N, D]. */
export const bidirectionalSelfAttention = (
  params: AttentionParams,
  x: Tensor,
  numHeads: number,
): Tensor => {
  const width = Number(x.shape[2]);
  const mixed = attention(
    applyLinear(params.query, x),
    applyLinear(params.key, x),
    applyLinear(params.value, x),
    {
      numHeads,
      numKeyValueHeads: numHeads,
      scale: 1 / Math.sqrt(width / numHeads),
      causal: false,
    },
  );
  return applyLinear(params.output, mixed);
};
