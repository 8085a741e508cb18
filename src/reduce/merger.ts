/**
 * The connector after the vision encoder of LLaVA-UHD v4 and MiniCPM-V 4.6 (arXiv 2605.08985, section
 * 3.1; released `mlp_merger`): every 2x2 window side by side, norm, two linear layers, no residual.
 * One stage merges four tokens; the post-encoder baseline has two.
 *
 * Tokens stand in merging order (`vision/patch-order.ts`), so that a window is four neighbours.
 */

import { ShapeError } from "../errors.js";
import { divideDims, formatShape, gelu, reshape, type Tensor } from "../graph/index.js";
import { linearParams } from "../nn/linear.js";
import { type MlpParams, mlp } from "../nn/mlp.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";

export type MergerConfig = {
  readonly inWidth: number;
  readonly outWidth: number;
  readonly numStages: number;
};

type MergerStageParams = MlpParams & { readonly norm: LayerNormParams };
export type MergerParams = { readonly stages: readonly MergerStageParams[] };

const normEpsilon = 1e-6;

export const mergerParams = (
  scope: ParameterScope,
  { inWidth, outWidth, numStages }: MergerConfig,
): MergerParams => ({
  stages: Array.from({ length: numStages }, (_, index) => {
    const stage = scope.child("stages", index);
    const last = index === numStages - 1;
    return {
      norm: layerNormParams(stage.child("norm"), 4 * inWidth),
      up: linearParams(stage.child("up"), 4 * inWidth, 4 * inWidth),
      down: linearParams(stage.child("down"), last ? outWidth : inWidth, 4 * inWidth),
    };
  }),
});

/** x [N, D] → [N / 4^stages, outWidth]. */
export const merger = ({ stages }: MergerParams, x: Tensor): Tensor =>
  stages.reduce((tokens, { norm, up, down }) => {
    const [total, width] = tokens.shape;
    const windows = divideDims(total, 4);
    if (windows === undefined) {
      throw new ShapeError(
        `merger: tokens must come in windows of 4, got ${formatShape(tokens.shape)}; plan views whose grids divide`,
      );
    }
    const unshuffled = reshape(tokens, [windows, 4 * Number(width)]);
    // The activation is exact here and approximate inside the encoder, as released.
    return mlp({ up, down }, applyLayerNorm(norm, unshuffled, normEpsilon), gelu);
  }, x);

/** Published names, below the connector's own prefix: the training code's, and Hugging Face's. */
export const mergerNames = (
  layout: "training" | "transformers",
): readonly (readonly [string, string])[] => {
  const [up, down] = layout === "training" ? ["mlp.0", "mlp.2"] : ["linear_1", "linear_2"];
  return [
    ["stages.{i}.norm", "mlp.{i}.pre_norm"],
    ["stages.{i}.up", `mlp.{i}.${up}`],
    ["stages.{i}.down", `mlp.{i}.${down}`],
  ];
};
