/**
 * LLaVA-Mini's query-based compression (Zhang et al. 2025, arXiv 2501.03895, section 4.1, Eq. 2):
 * C × C learned queries attend over all patches of an image and become its visual tokens.
 *
 * The released code departs from the paper: eight heads with projections instead of one plain
 * soft-max, norms on queries and keys, and as key positions the queries' own table resized to the
 * patch grid (a constant at C = 1, hence without effect there). Both forms are here by name.
 */
import { OptionsError } from "../errors.js";
import {
  add,
  attentionWithWeights,
  broadcast,
  constant,
  linear,
  matmul,
  mean,
  normal,
  reshape,
  slice,
  softmax,
  type Tensor,
  uniform,
  values,
  zeros,
} from "../graph/index.js";
import { applyLinear, type LinearParams } from "../nn/linear.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import { float32 } from "../tensor-data.js";
import { bicubicResizeMatrix, sinCosTable } from "./position-tables.js";

export type QueryCompressorConfig = {
  readonly width: number;
  /** C: the image becomes C² tokens. */
  readonly gridSide: number;
  /** `multi-head` is the released code, `plain` the paper's Eq. 2. */
  readonly attention: "multi-head" | "plain";
  /** Key positions: the queries' table resized (released), or sines and cosines of the patch grid (paper). */
  readonly keyPositions: "resized-queries" | "sin-cos";
};

/** Heads of the released compressor; not configurable there. */
export const queryCompressorHeads = 8;
const normEpsilon = 1e-5;

export type QueryCompressorParams = {
  readonly query: Tensor; // [C*C, D]
  readonly positions: Tensor; // [C*C, D]
  /** Absent in the plain form. */
  readonly projections?: {
    readonly input: { readonly weight: Tensor; readonly bias: Tensor }; // [3*D, D] query, key, value rows; [3*D]
    readonly output: LinearParams;
    readonly queryNorm: LayerNormParams;
    readonly keyNorm: LayerNormParams;
  };
};

export const queryCompressorParams = (
  scope: ParameterScope,
  { width, gridSide, attention: form }: QueryCompressorConfig,
): QueryCompressorParams => {
  const numQueries = gridSide * gridSide;
  if (form === "multi-head" && width % queryCompressorHeads !== 0) {
    throw new OptionsError(
      `queryCompressorParams: width must divide into ${queryCompressorHeads} heads, got ${width}`,
    );
  }
  // Xavier-uniform over the joint [3*D, D] matrix, PyTorch's start of MultiheadAttention.
  const xavier = Math.sqrt(6 / (4 * width));
  return {
    query: scope.parameter("query", [numQueries, width], normal(0.02)),
    positions: scope.parameter(
      "positions",
      [numQueries, width],
      values(() => sinCosTable(gridSide, width)),
    ),
    ...(form === "multi-head" && {
      projections: {
        input: {
          weight: scope.parameter("input.weight", [3 * width, width], uniform(xavier)),
          bias: scope.parameter("input.bias", [3 * width], zeros),
        },
        output: {
          weight: scope.parameter("output.weight", [width, width], uniform(1 / Math.sqrt(width))),
          bias: scope.parameter("output.bias", [width], zeros),
        },
        queryNorm: layerNormParams(scope.child("queryNorm"), width),
        keyNorm: layerNormParams(scope.child("keyNorm"), width),
      },
    }),
  };
};

/** Positions of the keys, [N, D]. */
const keyPositionTable = (
  positions: Tensor, // [C*C, D]
  patchSide: number,
  { gridSide, width, keyPositions }: QueryCompressorConfig,
): Tensor => {
  const numPatches = patchSide * patchSide;
  if (keyPositions === "sin-cos") {
    return constant(float32([numPatches, width], sinCosTable(patchSide, width)));
  }
  if (gridSide === patchSide) return positions;
  const resize = bicubicResizeMatrix(gridSide, patchSide);
  return matmul(constant(float32([numPatches, gridSide * gridSide], resize)), positions);
};

/**
 * Compresses the patches of an image. patches [B, N, D], N a square in raster order → [B, C*C, D].
 * No residual, no MLP, no norm on the output.
 */
export const queryCompressor = (
  params: QueryCompressorParams,
  patches: Tensor,
  config: QueryCompressorConfig,
  taps?: Taps,
): Tensor => {
  const { width } = config;
  const [batch, numPatches] = patches.shape;
  const patchSide = Math.sqrt(Number(numPatches));
  if (!Number.isInteger(patchSide)) {
    throw new OptionsError(
      `queryCompressor: patches must fill a square grid, got ${numPatches}; stitch the views first`,
    );
  }
  const numQueries = config.gridSide ** 2;
  const keyPositions = keyPositionTable(params.positions, patchSide, config);
  taps?.add("keyPositions", keyPositions);
  const spread = (queries: Tensor): Tensor =>
    broadcast(reshape(queries, [1, numQueries, width]), [batch, numQueries, width]);

  const { projections } = params;
  if (projections === undefined) {
    const query = spread(add(params.query, params.positions));
    const key = add(patches, keyPositions);
    const weights = softmax(matmul(query, key, { transposeB: true })); // [B, C*C, N]
    taps?.add("weights", reshape(weights, [batch, 1, numQueries, numPatches]));
    taps?.add("attention", weights);
    const output = matmul(weights, patches);
    return taps?.add("output", output) ?? output;
  }

  const normedQuery = applyLayerNorm(projections.queryNorm, params.query, normEpsilon);
  const normedPatches = applyLayerNorm(projections.keyNorm, patches, normEpsilon);
  taps?.add("normedQuery", normedQuery);
  taps?.add("normedPatches", normedPatches);
  const project = (x: Tensor, part: number): Tensor =>
    linear(
      x,
      slice(projections.input.weight, 0, part * width, (part + 1) * width),
      slice(projections.input.bias, 0, part * width, (part + 1) * width),
    );
  const query = spread(project(add(normedQuery, params.positions), 0));
  const key = project(add(normedPatches, keyPositions), 1);
  const value = project(normedPatches, 2);
  const scale = 1 / Math.sqrt(width / queryCompressorHeads);
  const { output: mixed, weights } = attentionWithWeights(query, key, value, {
    numHeads: queryCompressorHeads,
    numKeyValueHeads: queryCompressorHeads,
    scale,
    causal: false,
  });
  taps?.add("weights", weights);
  if (taps !== undefined) taps.add("attention", mean(weights, [1]));
  const output = applyLinear(projections.output, mixed);
  return taps?.add("output", output) ?? output;
};

/** Published names, below `model.compressor.`. */
export const queryCompressorNames: readonly (readonly [string, string])[] = [
  ["query", "query"],
  ["positions", "pos_embed"],
  ["input.weight", "attn.in_proj_weight"],
  ["input.bias", "attn.in_proj_bias"],
  ["output", "attn.out_proj"],
  ["queryNorm", "ln_q"],
  ["keyNorm", "ln_kv"],
];
