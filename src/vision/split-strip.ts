/** An image's views in runs of the encoder that stay within the processor's caches. */
import { float32 } from "../tensor-data.js";
import type { PatchStrip } from "./pack-patches.js";
import type { TableSize } from "./position-lookup.js";

/**
 * Patches of a run, unless a single view has more. Measured at the width of SigLIP so400m: a run of two views of 1,024
 * patches costs no more than the same views apart, one of four a twentieth more than one of two, one of ten a seventh
 * more than the views apart, for activations that no cache holds.
 */
export const maxPatchesOfRun = 2048;

const countPatches = (grids: readonly TableSize[]): number =>
  grids.reduce((sum, { rows, columns }) => sum + rows * columns, 0);

/** Neighbouring views, as many together as fit into `maxPatches`; always at least one. */
export const planRuns = (
  grids: readonly TableSize[],
  maxPatches: number = maxPatchesOfRun,
): TableSize[][] => {
  const runs: TableSize[][] = [];
  for (const grid of grids) {
    const last = runs.at(-1);
    if (last !== undefined && countPatches([...last, grid]) <= maxPatches) last.push(grid);
    else runs.push([grid]);
  }
  return runs;
};

/** A strip in one piece for each of `planRuns`. */
export const splitStrip = (
  { pixelValues: { data, shape }, grids }: PatchStrip,
  maxPatches: number = maxPatchesOfRun,
): PatchStrip[] => {
  const runs = planRuns(grids, maxPatches);
  const [, channels, patch, width] = shape;
  let from = 0;
  return runs.map((own) => {
    const ownWidth = countPatches(own) * patch;
    const pixels = new Float32Array(channels * patch * ownWidth);
    for (let row = 0; row < channels * patch; row += 1) {
      const first = row * width + from;
      pixels.set(data.subarray(first, first + ownWidth), row * ownWidth);
    }
    from += ownWidth;
    return { pixelValues: float32([1, channels, patch, ownWidth], pixels), grids: own };
  });
};
