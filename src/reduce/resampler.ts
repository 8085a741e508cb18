/**
 * The resampler of LLaVA-UHD and MiniCPM-V (Xu et al. 2024, arXiv 2403.11703, section 3.2; Yao et al.
 * 2024, arXiv 2408.01800; the alternative connector of LLaVA-UHD v4, table 3): learned queries attend
 * once over the tokens of each view and become its visual tokens.
 */

import { OptionsError } from "../errors.js";
import {
  add,
  attention,
  broadcast,
  concat,
  gatherRows,
  linear,
  matmul,
  normal,
  reshape,
  slice,
  type Tensor,
  uniform,
  zeros,
} from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import { joinGroups, type PackedViews, splitGroups } from "../nn/packed-views.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import { float32, type TensorData } from "../tensor-data.js";

export type ResamplerConfig = {
  readonly inWidth: number;
  readonly outWidth: number;
  readonly numQueries: number;
  /** `outWidth / 128` in the released code. */
  readonly numHeads: number;
};

export type ResamplerParams = {
  readonly query: Tensor; // [Q, D]
  readonly keyValue: LinearParams; // [D, Din], no bias
  readonly input: { readonly weight: Tensor; readonly bias: Tensor }; // [3*D, D] query, key, value rows; [3*D]
  readonly output: LinearParams; // [D, D]
  readonly queryNorm: LayerNormParams;
  readonly keyNorm: LayerNormParams;
  readonly outputNorm: LayerNormParams;
  readonly projection: Tensor; // [D, D], applied from the right as it is
};

const normEpsilon = 1e-6;

export const resamplerParams = (
  scope: ParameterScope,
  { inWidth, outWidth, numQueries, numHeads }: ResamplerConfig,
): ResamplerParams => {
  if (outWidth % numHeads !== 0 || outWidth % 4 !== 0) {
    throw new OptionsError(
      `resamplerParams: the width must divide into the heads and into 4, got ${outWidth} and ${numHeads} heads`,
    );
  }
  // Xavier-uniform over the joint matrix, PyTorch's start of MultiheadAttention.
  const xavier = Math.sqrt(6 / (4 * outWidth));
  return {
    query: scope.parameter("query", [numQueries, outWidth], normal(0.02)),
    keyValue: linearParams(scope.child("keyValue"), outWidth, inWidth, { bias: false }),
    input: {
      weight: scope.parameter("input.weight", [3 * outWidth, outWidth], uniform(xavier)),
      bias: scope.parameter("input.bias", [3 * outWidth], zeros),
    },
    output: linearParams(scope.child("output"), outWidth, outWidth),
    queryNorm: layerNormParams(scope.child("queryNorm"), outWidth),
    keyNorm: layerNormParams(scope.child("keyNorm"), outWidth),
    outputNorm: layerNormParams(scope.child("outputNorm"), outWidth),
    projection: scope.parameter("projection", [outWidth, outWidth], normal(outWidth ** -0.5)),
  };
};

/** Where the keys stand: rows of a table of sines and cosines, for columns and rows alike. */
export type ResamplerPositions = {
  readonly table: Tensor; // [sides, D/2]
  readonly columns: Tensor; // [N] int64
  readonly rows: Tensor; // [N] int64
};

/**
 * Sines, then cosines, of places 0 .. numPlaces-1 with frequencies 10000^(-i / (width/4)),
 * [numPlaces, width/2]: half of a position, the other half being the other axis's.
 */
export const sineRows = (numPlaces: number, width: number): TensorData<"float32"> => {
  const quarter = width / 4;
  const table = new Float32Array(numPlaces * 2 * quarter);
  for (let place = 0; place < numPlaces; place += 1) {
    for (let index = 0; index < quarter; index += 1) {
      const angle = place * 10_000 ** (-index / quarter);
      table[place * 2 * quarter + index] = Math.sin(angle);
      table[place * 2 * quarter + quarter + index] = Math.cos(angle);
    }
  }
  return float32([numPlaces, 2 * quarter], table);
};

/** The tokens of every view, Q each. x.tokens [N, Din] → [V·Q, D], groups of views as given. */
export const resampler = (
  params: ResamplerParams,
  { tokens, groups }: PackedViews,
  { table, columns, rows }: ResamplerPositions,
  { outWidth, numQueries, numHeads }: ResamplerConfig,
): PackedViews => {
  const project = (x: Tensor, part: number): Tensor =>
    linear(
      x,
      slice(params.input.weight, 0, part * outWidth, (part + 1) * outWidth),
      slice(params.input.bias, 0, part * outWidth, (part + 1) * outWidth),
    );
  const features = applyLayerNorm(
    params.keyNorm,
    applyLinear(params.keyValue, tokens),
    normEpsilon,
  );
  // The first half follows the column, the second the row; values have no position.
  const positions = concat([gatherRows(table, columns), gatherRows(table, rows)], 1); // [N, D]
  const keys = splitGroups(project(add(features, positions), 1), groups);
  const values = splitGroups(project(features, 2), groups);
  const query = project(applyLayerNorm(params.queryNorm, params.query, normEpsilon), 0);
  const mixed = groups.map(({ numViews }, index) =>
    attention(
      broadcast(reshape(query, [1, numQueries, outWidth]), [numViews, numQueries, outWidth]),
      keys[index],
      values[index],
      {
        numHeads,
        numKeyValueHeads: numHeads,
        scale: 1 / Math.sqrt(outWidth / numHeads),
        causal: false,
      },
    ),
  );
  const attended = applyLinear(params.output, joinGroups(mixed));
  return {
    tokens: matmul(applyLayerNorm(params.outputNorm, attended, normEpsilon), params.projection),
    groups: groups.map(({ numViews }) => ({ numViews, numTokens: numQueries })),
  };
};

/** Published names, below the connector's own prefix. */
export const resamplerNames: readonly (readonly [string, string])[] = [
  ["query", "query"],
  ["keyValue", "kv_proj"],
  ["input.weight", "attn.in_proj_weight"],
  ["input.bias", "attn.in_proj_bias"],
  ["output", "attn.out_proj"],
  ["queryNorm", "ln_q"],
  ["keyNorm", "ln_kv"],
  ["outputNorm", "ln_post"],
  ["projection", "proj"],
];
