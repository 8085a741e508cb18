/**
 * The order in which patches enter an encoder that merges them. Positions are added once, at the
 * input, so the order of tokens within a view is free; in this one, the tokens that every later 2x2
 * merging joins are neighbours, and merging is a reshape.
 */
import { OptionsError } from "../errors.js";

/**
 * Raster index of every token of a grid: squares of `2^levels` patches in raster order, within each
 * its four quarters (top left, top right, bottom left, bottom right), and so on. After `levels`
 * mergings of four neighbours the tokens stand in raster order. `levels` 0 is raster order itself.
 *
 * Throws `OptionsError` for a grid that does not divide into such squares.
 */
export const mergingOrder = (rows: number, columns: number, levels: number): Int32Array => {
  const side = 2 ** levels;
  if (rows % side !== 0 || columns % side !== 0 || rows < 1 || columns < 1) {
    throw new OptionsError(
      `mergingOrder: the grid must divide into squares of ${side}x${side} patches, got ${rows}x${columns} (rows x columns); ` +
        `plan views whose sides are multiples of ${side} patches`,
    );
  }
  // Within a square, bit 2k of a token's place is bit k of its column, bit 2k+1 that of its row.
  const inside = Array.from({ length: side * side }, (_, place) => {
    let [row, column] = [0, 0];
    for (let level = 0; level < levels; level += 1) {
      column |= ((place >> (2 * level)) & 1) << level;
      row |= ((place >> (2 * level + 1)) & 1) << level;
    }
    return row * columns + column;
  });
  const order = new Int32Array(rows * columns);
  let next = 0;
  for (let top = 0; top < rows; top += side) {
    for (let left = 0; left < columns; left += side) {
      for (const offset of inside) order[next++] = top * columns + left + offset;
    }
  }
  return order;
};
