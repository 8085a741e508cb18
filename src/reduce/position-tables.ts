/** Position tables on square grids: two-dimensional sine-cosine tables, and their resizing. */
import { OptionsError } from "../errors.js";
import { bicubicWeights } from "../nn/bicubic-weights.js";
import { float32, type TensorData } from "../tensor-data.js";

/**
 * The fixed table of a side × side grid in raster order, [side², width] (He et al. 2021, MAE; as
 * LLaVA-Mini builds it). The first half follows the column, the second the row; within a half, sines
 * come before cosines, with frequencies 10000^(-i / (width/4)).
 */
export const sinCosTable = (side: number, width: number): Float32Array => {
  if (width % 4 !== 0) {
    throw new OptionsError(`sinCosTable: width must be a multiple of 4, got ${width}`);
  }
  const quarter = width / 4;
  const table = new Float32Array(side * side * width);
  for (let row = 0; row < side; row += 1) {
    for (let column = 0; column < side; column += 1) {
      const start = (row * side + column) * width;
      for (let index = 0; index < quarter; index += 1) {
        const frequency = 10_000 ** (-index / quarter);
        table[start + index] = Math.sin(column * frequency);
        table[start + quarter + index] = Math.cos(column * frequency);
        table[start + 2 * quarter + index] = Math.sin(row * frequency);
        table[start + 3 * quarter + index] = Math.cos(row * frequency);
      }
    }
  }
  return table;
};

/** Weights of one axis: how much of each input place every output place takes, [toSide][fromSide]. */
const axisWeights = (fromSide: number, toSide: number): number[][] =>
  bicubicWeights(fromSide, toSide).map((taps) => {
    const weights = new Array<number>(fromSide).fill(0);
    for (const { place, weight } of taps) weights[place] += weight;
    return weights;
  });

/**
 * The linear map that resizes a table on a fromSide² grid to a toSide² grid, [toSide², fromSide²]:
 * bicubic (a = -0.75), half-pixel centres, borders clamped, no antialiasing. As a matrix it applies
 * to any table, and its gradient is its transpose.
 */
export const bicubicResizeMatrix = (fromSide: number, toSide: number): Float32Array => {
  const weights = axisWeights(fromSide, toSide);
  const matrix = new Float32Array(toSide * toSide * fromSide * fromSide);
  let index = 0;
  for (const rowWeights of weights) {
    for (const columnWeights of weights) {
      for (const rowWeight of rowWeights) {
        for (const columnWeight of columnWeights) {
          matrix[index] = rowWeight * columnWeight;
          index += 1;
        }
      }
    }
  }
  return matrix;
};

/** Rows before a square grid (a class token's), and the grid's side; undefined where there is none. */
const gridOf = (
  numRows: number,
): { readonly numPrefix: number; readonly side: number } | undefined =>
  [0, 1]
    .map((numPrefix) => ({ numPrefix, side: Math.sqrt(numRows - numPrefix) }))
    .find(({ side }) => side >= 1 && Number.isInteger(side));

/**
 * A learned table for another square grid, as vision transformers are taken to another resolution:
 * bicubic, a class token's row as it is. table [prefix + side², D] → [numRows, D]. Throws
 * `OptionsError` for tables that are no square grid, with or without one row before it.
 */
export const resizePositionTable = (
  { shape, data }: TensorData<"float32">,
  numRows: number,
): TensorData<"float32"> => {
  const [rows = 0, width = 0] = shape;
  const [from, to] = [gridOf(rows), gridOf(numRows)];
  if (shape.length !== 2 || !from || !to || from.numPrefix !== to.numPrefix) {
    throw new OptionsError(
      `resizePositionTable: a table must be a square grid of rows, with or without one row before it, got [${shape}] for ${numRows} rows; initialise it otherwise`,
    );
  }
  const { numPrefix } = from;
  const matrix = bicubicResizeMatrix(from.side, to.side);
  const numFrom = from.side ** 2;
  const resized = new Float32Array(numRows * width);
  resized.set(data.subarray(0, numPrefix * width));
  for (let row = 0; row < to.side ** 2; row += 1) {
    for (let place = 0; place < numFrom; place += 1) {
      const weight = matrix[row * numFrom + place];
      if (weight === 0) continue;
      for (let column = 0; column < width; column += 1) {
        resized[(numPrefix + row) * width + column] +=
          weight * data[(numPrefix + place) * width + column];
      }
    }
  }
  return float32([numRows, width], resized);
};
