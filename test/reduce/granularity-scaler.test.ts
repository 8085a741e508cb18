import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { input } from "../../src/graph/index.js";
import {
  granularityScaler,
  planGranularities,
  possibleGranularities,
  type TokenGrid,
} from "../../src/reduce/granularity-scaler.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { at, build, expectClose, reference, sumOf } from "../support/reference-tensors.js";

const runner = useEngine();
const published = [36, 72, 144, 288, 576];
const square = (side: number): TokenGrid => ({ rows: side, columns: side });

describe("the grids of a granularity list", () => {
  test("are the published ones: the width is halved first", () => {
    expect(planGranularities(published, square(24)).map(({ grid }) => grid)).toEqual([
      { rows: 6, columns: 6 },
      { rows: 12, columns: 6 },
      { rows: 12, columns: 12 },
      { rows: 24, columns: 12 },
      { rows: 24, columns: 24 },
    ]);
  });

  test("hold as many tokens as asked, for every count that a grid can be pooled to", () => {
    const side = fc.integer({ min: 1, max: 24 });
    fc.assert(
      fc.property(side, side, (rows, columns) => {
        const counts = possibleGranularities({ rows, columns });
        expect(counts).toContain(rows * columns);
        for (const { tokens, grid } of planGranularities(counts, { rows, columns })) {
          expect(grid.rows * grid.columns).toBe(tokens);
          expect([rows % grid.rows, columns % grid.columns]).toEqual([0, 0]);
        }
      }),
    );
  });

  test.each([
    ["unsorted", [144, 36]],
    ["with one twice", [36, 36, 144]],
    ["empty", []],
    ["of fractions", [1.5]],
    ["of nothing", [0, 36]],
    ["not a number", [Number.NaN]],
    ["that no cell makes", [100]],
    ["whose cells do not fill the grid", [25]],
    ["of more tokens than there are", [576, 1152]],
  ])("are refused for a list %s", (_, counts) => {
    expect(() => planGranularities(counts, square(24))).toThrow(OptionsError);
  });

  test("refusals name what would be possible", () => {
    expect(() => planGranularities([3], square(4))).toThrow("choose among 1, 2, 4, 8, 16");
  });
});

describe("pooled tokens", () => {
  const grids: readonly (readonly [TokenGrid, readonly number[]])[] = [
    [square(8), [4, 8, 16, 32, 64]],
    [square(6), [1, 2, 4, 9, 18, 36]],
    [{ rows: 2, columns: 4 }, [1, 2, 4, 8]],
    [{ rows: 6, columns: 4 }, [3, 6, 24]],
  ];

  test.each(grids)(
    "of %o are the averages of their cells, in raster order",
    async (grid, counts) => {
      const granularities = planGranularities(counts, grid);
      const value = randomTensors(3)([2, grid.rows * grid.columns, 5]);
      const x = input("x", "float32", ["V", grid.rows * grid.columns, 5]);
      const pooled = granularityScaler(x, grid, granularities);
      const results = await runner.compute(
        Object.fromEntries(pooled.map((tensor, index) => [`${counts[index]}`, tensor])),
        { x: value },
      );
      const source = reference(value);
      for (const { tokens, grid: to } of granularities) {
        const [high, wide] = [grid.rows / to.rows, grid.columns / to.columns];
        const expected = build([2, tokens, 5], ([view, token, d]) => {
          const [row, column] = [Math.floor(token / to.columns), token % to.columns];
          const total = sumOf(high * wide, (place) => {
            const y = row * high + Math.floor(place / wide);
            const x = column * wide + (place % wide);
            return at(source, [view, y * grid.columns + x, d]);
          });
          return total / (high * wide);
        });
        expectClose(results[tokens], expected);
      }
    },
  );

  test("by halving again and again are those pooled at once", async () => {
    const granularities = planGranularities([1, 4, 8, 32, 64], square(8));
    const x = input("x", "float32", ["V", 64, 6]);
    const outputs = Object.fromEntries(
      (["direct", "halving"] as const).flatMap((form) =>
        granularityScaler(x, square(8), granularities, { form }).map((tensor, index) => [
          `${form}.${index}`,
          tensor,
        ]),
      ),
    );
    const results = await runner.compute(outputs, { x: randomTensors(4)([3, 64, 6]) });
    granularities.forEach((_, index) => {
      expectClose(results[`halving.${index}`], results[`direct.${index}`], 1e-6);
    });
  });

  test("cannot be halved from three to one", () => {
    const granularities = planGranularities([1, 9], square(3));
    const x = input("x", "float32", [1, 9, 2]);
    expect(() => granularityScaler(x, square(3), granularities, { form: "halving" })).toThrow(
      OptionsError,
    );
    expect(granularityScaler(x, square(3), granularities)).toHaveLength(2);
  });
});
