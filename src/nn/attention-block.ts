import { attention, slice, type Tensor } from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "./linear.js";
import type { ParameterScope } from "./parameter-scope.js";

/** The four projections of an attention layer. */
export type AttentionParams = {
  readonly query: LinearParams; // [H*E, D]; [H*2*E, D] with an output gate, query and gate by turns
  readonly key: LinearParams; // [K*E, D]
  readonly value: LinearParams; // [K*E, D]
  readonly output: LinearParams; // [D, H*E]
};

/** Query, key and value as the rows of one matrix. */
export type JointAttentionParams = {
  readonly input: LinearParams; // [3*D, D]: query, key, value
  readonly output: LinearParams; // [D, D]
};

/** Which of an attention layer's projections have a bias: all or none, or the output apart. */
export type AttentionBias = boolean | { readonly input: boolean; readonly output: boolean };

export const attentionParams = (
  scope: ParameterScope,
  width: number,
  {
    queryWidth = width,
    keyValueWidth = width,
    bias = true,
    outputGate = false,
  }: {
    readonly queryWidth?: number;
    readonly keyValueWidth?: number;
    readonly bias?: AttentionBias;
    /** Whether the query projection gives a gate for every element of the result, too. */
    readonly outputGate?: boolean;
  } = {},
): AttentionParams => {
  const { input, output } = typeof bias === "boolean" ? { input: bias, output: bias } : bias;
  const projected = outputGate ? 2 * queryWidth : queryWidth;
  return {
    query: linearParams(scope.child("query"), projected, width, { bias: input }),
    key: linearParams(scope.child("key"), keyValueWidth, width, { bias: input }),
    value: linearParams(scope.child("value"), keyValueWidth, width, { bias: input }),
    output: linearParams(scope.child("output"), width, queryWidth, { bias: output }),
  };
};

export const jointAttentionParams = (
  scope: ParameterScope,
  width: number,
): JointAttentionParams => ({
  input: linearParams(scope.child("input"), 3 * width, width),
  output: linearParams(scope.child("output"), width, width),
});

/** What attention works on: three tensors of one shape. */
export type QueryKeyValue = {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
};

/** x [..., D] → three of [..., D]. */
export const projectQueryKeyValue = (
  params: AttentionParams | JointAttentionParams,
  x: Tensor,
): QueryKeyValue => {
  if (!("input" in params)) {
    const [query, key, value] = [params.query, params.key, params.value].map((projection) =>
      applyLinear(projection, x),
    );
    return { query, key, value };
  }
  const width = Number(x.shape[x.rank - 1]);
  const joint = applyLinear(params.input, x);
  const [query, key, value] = [0, 1, 2].map((part) =>
    slice(joint, -1, part * width, (part + 1) * width),
  );
  return { query, key, value };
};

/** Every token sees every other of its row. Three of [B, N, D] → [B, N, D]. */
export const bidirectionalAttention = (
  { query, key, value }: QueryKeyValue,
  numHeads: number,
): Tensor =>
  attention(query, key, value, {
    numHeads,
    numKeyValueHeads: numHeads,
    scale: 1 / Math.sqrt(Number(query.shape[2]) / numHeads),
    causal: false,
  });

/** Every token sees every other of its view. x [B, N, D] → [B, N, D]. */
export const bidirectionalSelfAttention = (
  params: AttentionParams | JointAttentionParams,
  x: Tensor,
  numHeads: number,
): Tensor =>
  applyLinear(params.output, bidirectionalAttention(projectQueryKeyValue(params, x), numHeads));
