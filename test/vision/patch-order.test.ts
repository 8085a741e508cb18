import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { bicubicResizeMatrix } from "../../src/reduce/position-tables.js";
import { planPacking } from "../../src/vision/pack-patches.js";
import { mergingOrder } from "../../src/vision/patch-order.js";
import { bicubicTaps, bucketTaps } from "../../src/vision/position-lookup.js";

describe("the order of merging", () => {
  const sizes = fc.record({
    levels: fc.integer({ min: 0, max: 3 }),
    rows: fc.integer({ min: 1, max: 4 }),
    columns: fc.integer({ min: 1, max: 4 }),
  });

  test("has every patch once, and four neighbours are always a 2x2 window, its corners in order", () => {
    fc.assert(
      fc.property(sizes, ({ levels, rows, columns }) => {
        const [height, width] = [rows * 2 ** levels, columns * 2 ** levels];
        let order = Array.from(mergingOrder(height, width, levels));
        expect([...order].sort((a, b) => a - b)).toEqual(order.map((_, index) => index));
        // Merging halves the grid; what is left is the order of one level less.
        for (let level = 0; level < levels; level += 1) {
          const side = width / 2 ** level;
          const corners: number[] = [];
          for (let place = 0; place < order.length; place += 4) {
            const [corner] = order.slice(place, place + 4);
            const window = [corner, corner + 1, corner + side, corner + side + 1];
            expect(order.slice(place, place + 4)).toEqual(window);
            const [row, column] = [Math.floor(corner / side), corner % side];
            corners.push((row / 2) * (side / 2) + column / 2);
          }
          order = corners;
        }
        expect(order).toEqual(order.map((_, index) => index));
      }),
    );
  });

  test("refuses grids that do not divide", () => {
    expect(() => mergingOrder(6, 4, 2)).toThrow(OptionsError);
    expect(() => mergingOrder(0, 4, 1)).toThrow(OptionsError);
  });
});

describe("packing", () => {
  test("gives every token of every view one row, views of equal length side by side", () => {
    const grid = fc.record({
      rows: fc.integer({ min: 1, max: 5 }).map((count) => 4 * count),
      columns: fc.integer({ min: 1, max: 5 }).map((count) => 4 * count),
    });
    fc.assert(
      fc.property(fc.array(grid, { minLength: 1, maxLength: 12 }), (grids) => {
        const { views, groups } = planPacking(grids, 2);
        const rows = views.flatMap(({ firstToken, numTokens }) =>
          Array.from({ length: numTokens }, (_, index) => firstToken + index),
        );
        expect([...rows].sort((a, b) => a - b)).toEqual(rows.map((_, index) => index));
        expect(views.map(({ numTokens }) => 16 * numTokens)).toEqual(
          grids.map(({ rows: height, columns: width }) => height * width),
        );
        expect(new Set(groups.map(({ numTokens }) => numTokens)).size).toBe(groups.length);
      }),
    );
  });
});

describe("positions of a view on a table", () => {
  test("by the nearest entry are floor(70 i / h), also where float32 boundaries fall one low", () => {
    const { rows } = bucketTaps({ rows: 100, columns: 1 }, { rows: 70, columns: 70 });
    expect(Array.from(rows, (row) => row / 70)).toEqual(
      Array.from({ length: 100 }, (_, index) => Math.floor((70 * index) / 100)),
    );
  });

  test("by bicubic interpolation are the linear map that resizes a table", () => {
    const matrix = bicubicResizeMatrix(5, 7);
    const { rows, weights, numTaps } = bicubicTaps(
      { rows: 7, columns: 7 },
      { rows: 5, columns: 5 },
    );
    const spread = new Float32Array(matrix.length);
    rows.forEach((row, index) => {
      spread[Math.floor(index / numTaps) * 25 + row] += weights?.[index] ?? 0;
    });
    spread.forEach((weight, index) => {
      expect(weight).toBeCloseTo(matrix[index], 6);
    });
  });
});
