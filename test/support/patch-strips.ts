import { float32, type TensorData } from "../../src/tensor-data.js";
import type { PatchStrip } from "../../src/vision/pack-patches.js";
import type { TableSize } from "../../src/vision/position-lookup.js";

/** The patches of one view [C, H, W] side by side, as published processors emit them. */
export const stripOf = ({ data, shape }: TensorData<"float32">, patch: number): PatchStrip => {
  const [channels, height, width] = shape;
  const grid: TableSize = { rows: height / patch, columns: width / patch };
  const numPatches = grid.rows * grid.columns;
  const strip = new Float32Array(data.length);
  for (let channel = 0; channel < channels; channel += 1) {
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const index = Math.floor(y / patch) * grid.columns + Math.floor(x / patch);
        const row = (channel * patch + (y % patch)) * numPatches + index;
        strip[row * patch + (x % patch)] = data[(channel * height + y) * width + x];
      }
    }
  }
  return {
    pixelValues: float32([1, channels, patch, numPatches * patch], strip),
    grids: [grid],
  };
};
