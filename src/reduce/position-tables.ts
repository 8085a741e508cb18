/** Position tables on square grids: two-dimensional sine-cosine tables, and their resizing. */
import { OptionsError } from "../errors.js";
import { bicubicWeights } from "../nn/bicubic-weights.js";

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
