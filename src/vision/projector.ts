/** The connector of LLaVA models: visual features to the decoder's width (Liu et al. 2024, LLaVA-1.5). */
import { ModelConfigError } from "../errors.js";
import { gelu, type Tensor } from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import type { ParameterScope } from "../nn/parameter-scope.js";

export type ProjectorConfig = {
  readonly inWidth: number;
  readonly outWidth: number;
  /** Linear layers, with a GELU between any two. */
  readonly numLayers: number;
};

export type ProjectorParams = { readonly layers: readonly LinearParams[] };

/** Layers of `mm_projector_type`: `linear`, or `mlp{n}x_gelu`. */
export const parseProjectorType = (type: string): number => {
  if (type === "linear") return 1;
  const layers = /^mlp(\d+)x_gelu$/.exec(type)?.[1];
  if (layers === undefined || Number(layers) < 1) {
    throw new ModelConfigError(
      `parseProjectorType: mm_projector_type must be linear or mlp{n}x_gelu, got ${JSON.stringify(type)}`,
    );
  }
  return Number(layers);
};

export const projectorParams = (
  scope: ParameterScope,
  { inWidth, outWidth, numLayers }: ProjectorConfig,
): ProjectorParams => ({
  layers: Array.from({ length: numLayers }, (_, index) =>
    linearParams(scope.child("layers", index), outWidth, index === 0 ? inWidth : outWidth),
  ),
});

/** x [..., inWidth] → [..., outWidth]. */
export const projector = ({ layers }: ProjectorParams, x: Tensor): Tensor =>
  layers.reduce((y, layer, index) => applyLinear(layer, index === 0 ? y : gelu(y)), x);

/**
 * Published names, below `model.mm_projector`: the layers of a torch Sequential, of which every
 * second one is the activation; a single layer stands alone.
 */
export const projectorNames = (numLayers: number): readonly (readonly [string, string])[] =>
  numLayers === 1
    ? [["layers.0", "mm_projector"]]
    : Array.from(
        { length: numLayers },
        (_, index) => [`layers.${index}`, `mm_projector.${2 * index}`] as const,
      );
