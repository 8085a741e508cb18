/** Between the raster order of recorded views and the order in which packed tokens are computed. */
import { elementCount, type TensorData } from "../tensor-data.js";
import type { PackLayout } from "../vision/pack-patches.js";
import { mergingOrder } from "../vision/patch-order.js";
import type { TableSize } from "../vision/position-lookup.js";

/** Packed views: their patch grids, where they went, and how often four tokens become one. */
export type Packing = {
  readonly grids: readonly TableSize[];
  readonly layout: PackLayout;
  readonly mergeLevels: number;
};

/**
 * Packed row of every recorded row: views in the order given, raster order within each, after `done`
 * mergings.
 */
const packedRows = ({ grids, layout, mergeLevels }: Packing, done: number): number[] => {
  const left = mergeLevels - done;
  return grids.flatMap(({ rows, columns }, view) => {
    const first = layout.views[view].firstToken * 4 ** left;
    const order = mergingOrder(rows / 2 ** done, columns / 2 ** done, left);
    const raster = new Array<number>(order.length);
    order.forEach((place, packed) => {
      raster[place] = first + packed;
    });
    return raster;
  });
};

/** Rows of `tensor` in another order: row i of the result is `rows[i]`. */
export const takeRows = (tensor: TensorData, rows: readonly number[]): TensorData => {
  const width = elementCount(tensor.shape) / tensor.shape[0];
  const data = tensor.data.slice();
  rows.forEach((from, to) => {
    for (let column = 0; column < width; column += 1) {
      data[to * width + column] = tensor.data[from * width + column];
    }
  });
  return { ...tensor, data } as TensorData;
};

/** Rows of a packed tensor [N / 4^done, …] in recorded order. */
export const toRecordedOrder = (tensor: TensorData, packing: Packing, done: number): TensorData =>
  takeRows(tensor, packedRows(packing, done));

/** The inverse of a permutation. */
export const invert = (rows: readonly number[]): number[] => {
  const inverse = new Array<number>(rows.length);
  rows.forEach((from, to) => {
    inverse[from] = to;
  });
  return inverse;
};

/** Patches [N, C·P·P] in recorded order as a strip [1, C, P, N·P]. */
export const toStrip = (
  { data, shape: [numPatches, elements] }: TensorData,
  patchSizePx: number,
): TensorData => {
  const rows = elements / patchSizePx;
  const strip = new Float32Array(numPatches * elements);
  for (let patch = 0; patch < numPatches; patch += 1) {
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < patchSizePx; column += 1) {
        strip[(row * numPatches + patch) * patchSizePx + column] = Number(
          data[patch * elements + row * patchSizePx + column],
        );
      }
    }
  }
  const shape = [1, rows / patchSizePx, patchSizePx, numPatches * patchSizePx];
  return { dtype: "float32", shape, data: strip };
};
