import { linear, normal, reshape, type Tensor, transpose, zeros } from "../graph/index.js";
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

/**
 * A convolution whose stride is its kernel, as one matrix product over cut-out patches.
 * pixels [V, C, height, width] → [V, N, D], patches in raster order.
 */
export const patchEmbedding = ({ weight, bias }: PatchEmbeddingParams, pixels: Tensor): Tensor => {
  const [views, channels, height, width] = pixels.shape;
  const [outWidth, , patch] = weight.shape.map(Number);
  const rows = Number(height) / patch;
  const columns = Number(width) / patch;
  const inside = Number(channels) * patch * patch;
  const cells = reshape(pixels, [views, channels, rows, patch, columns, patch]);
  const patches = transpose(cells, [0, 2, 4, 1, 3, 5]); // [V, rows, columns, C, P, P]
  const flat = reshape(patches, [views, rows * columns, inside]);
  return linear(flat, reshape(weight, [outWidth, inside]), bias);
};
