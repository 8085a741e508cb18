import { linear, normal, reshape, type Tensor, transpose, zeros } from "../graph/index.js";
import { elementCount } from "../tensor-data.js";
import type { ParameterScope } from "./parameter-scope.js";

export type PatchEmbeddingParams = {
  readonly weight: Tensor; // [D, C, P, P], as checkpoints store the convolution
  readonly bias?: Tensor; // [D]
};

export const patchEmbeddingParams = (
  scope: ParameterScope,
  width: number,
  numChannels: number,
  patchSizePx: number,
  { bias }: { readonly bias: boolean },
): PatchEmbeddingParams => ({
  weight: scope.parameter("weight", [width, numChannels, patchSizePx, patchSizePx], normal(0.02)),
  ...(bias && { bias: scope.parameter("bias", [width], zeros) }),
});

/** Cut-out patches, channel by channel and row by row each. patches [..., C·P·P] → [..., D]. */
export const embedPatches = ({ weight, bias }: PatchEmbeddingParams, patches: Tensor): Tensor => {
  const [outWidth, ...inside] = weight.shape.map(Number);
  return linear(patches, reshape(weight, [outWidth, elementCount(inside)]), bias);
};

/**
 * A convolution whose stride is its kernel, as one matrix product over cut-out patches.
 * pixels [V, C, height, width] → [V, N, D], patches in raster order.
 */
export const patchEmbedding = (params: PatchEmbeddingParams, pixels: Tensor): Tensor => {
  const [views, channels, height, width] = pixels.shape;
  const patch = Number(params.weight.shape[2]);
  const rows = Number(height) / patch;
  const columns = Number(width) / patch;
  const cells = reshape(pixels, [views, channels, rows, patch, columns, patch]);
  const patches = transpose(cells, [0, 2, 4, 1, 3, 5]); // [V, rows, columns, C, P, P]
  const inside = Number(channels) * patch * patch;
  return embedPatches(params, reshape(patches, [views, rows * columns, inside]));
};
