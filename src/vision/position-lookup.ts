/** Where on a learned position table the patches of a view stand, for views of any shape. */
import { bicubicWeights } from "../nn/bicubic-weights.js";

/** Rows of a table that a patch's position is made of, `numTaps` of them, with their weights. */
export type PositionTaps = {
  readonly numTaps: number;
  /** [patches, taps], in raster order. */
  readonly rows: Int32Array;
  /** [patches, taps]; absent where each patch takes one row as it is. */
  readonly weights?: Float32Array;
};

export type TableSize = { readonly rows: number; readonly columns: number };

/**
 * The nearest entry: row i of h takes row floor(i · tableRows / h) of the table, columns alike
 * (SigLIP-NaViT; LLaVA-UHD v4 as released, whose float32 boundaries differ from this exact rule for
 * 100 patches and a few counts that are no multiple of 4).
 */
export const bucketTaps = (view: TableSize, table: TableSize): PositionTaps => {
  const rows = new Int32Array(view.rows * view.columns);
  for (let row = 0; row < view.rows; row += 1) {
    const tableRow = Math.floor((row * table.rows) / view.rows);
    for (let column = 0; column < view.columns; column += 1) {
      const tableColumn = Math.floor((column * table.columns) / view.columns);
      rows[row * view.columns + column] = tableRow * table.columns + tableColumn;
    }
  }
  return { numTaps: 1, rows };
};

/** Bicubic interpolation of the table to the view's grid (a = -0.75, borders clamped; MoonViT). */
export const bicubicTaps = (view: TableSize, table: TableSize): PositionTaps => {
  const down = bicubicWeights(table.rows, view.rows);
  const across = bicubicWeights(table.columns, view.columns);
  const numTaps = 16;
  const rows = new Int32Array(view.rows * view.columns * numTaps);
  const weights = new Float32Array(rows.length);
  let next = 0;
  for (let row = 0; row < view.rows; row += 1) {
    for (let column = 0; column < view.columns; column += 1) {
      for (const fromRow of down[row]) {
        for (const fromColumn of across[column]) {
          rows[next] = fromRow.place * table.columns + fromColumn.place;
          weights[next] = fromRow.weight * fromColumn.weight;
          next += 1;
        }
      }
    }
  }
  return { numTaps, rows, weights };
};
