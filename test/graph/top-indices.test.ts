import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { input, topIndices } from "../../src/graph/index.js";
import { float32 } from "../../src/tensor-data.js";
import { useEngine } from "../support/graph-runner.js";

const runner = useEngine();

describe("the places of the largest elements", () => {
  test("come largest first, equal ones in order, row by row", async () => {
    const row = fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 7, maxLength: 7 });
    await fc.assert(
      fc.asyncProperty(fc.tuple(row, row), fc.integer({ min: 1, max: 7 }), async (rows, count) => {
        const { y } = await runner.compute(
          { y: topIndices(input("x", "float32", ["B", "S"]), count) },
          { x: float32([2, 7], rows.flat()) },
        );
        const expected = rows.map((values) =>
          values
            .map((value, place) => ({ value, place }))
            .sort((a, b) => b.value - a.value || a.place - b.place)
            .slice(0, count)
            .map(({ place }) => place),
        );
        expect(y.shape).toEqual([2, count]);
        expect(Array.from(y.data, Number)).toEqual(expected.flat());
      }),
      { numRuns: 15 },
    );
  });

  test("must be there", () => {
    expect(() => topIndices(input("x", "float32", [2, 3]), 4)).toThrow(ShapeError);
    expect(() => topIndices(input("x", "float32", [2, 3]), 0)).toThrow(ShapeError);
  });
});
