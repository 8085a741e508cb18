import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import {
  addDims,
  broadcast,
  concat,
  dim,
  gatherRows,
  input,
  multiplyDims,
  oneHot,
  padAxis,
  reshape,
  scatterRows,
  slice,
  subtractDims,
  transpose,
} from "../../src/graph/index.js";
import { elementCount, int64 } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { at, build, expectClose, reference } from "../support/reference-tensors.js";

const runner = useEngine();
const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 });

describe("layout operators move elements and change none", () => {
  test("reshape keeps the order of the elements, whichever side is left open", async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.nat(), fc.boolean(), async (shape, seed, open) => {
        const value = randomTensors(seed)(shape);
        const target = [...shape].sort((a, b) => b - a);
        const asked = open
          ? target.map((side, axis) => (axis === seed % target.length ? -1 : side))
          : target;
        const results = await runner.compute(
          { y: reshape(input("x", "float32", shape), [1, ...asked]) },
          { x: value },
        );
        expectClose(results.y, { shape: [1, ...target], data: [...value.data] }, 0);
      }),
      { numRuns: 15 },
    );
  });

  test("transpose puts side p[i] at place i", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes.chain((shape) =>
          fc.tuple(
            fc.constant(shape),
            fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }),
          ),
        ),
        fc.nat(),
        async ([shape, permutation], seed) => {
          const value = randomTensors(seed)(shape);
          const y = transpose(input("x", "float32", shape), permutation);
          const results = await runner.compute({ y }, { x: value });
          const source = reference(value);
          const expected = build(
            permutation.map((axis) => shape[axis]),
            (index) =>
              at(
                source,
                shape.map((_, axis) => index[permutation.indexOf(axis)]),
              ),
          );
          expectClose(results.y, expected, 0);
        },
      ),
      { numRuns: 15 },
    );
  });

  test("slices of a concatenation are its parts, on any axis, parts of no element included", async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.nat(),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }),
        async (shape, seed, sizes) => {
          const axis = seed % shape.length;
          const random = randomTensors(seed);
          const parts = sizes.map((size) =>
            random(shape.map((side, index) => (index === axis ? size : side))),
          );
          const inputs = parts.map((part, index) => input(`part${index}`, "float32", part.shape));
          const whole = concat(inputs, axis - shape.length);
          let start = 0;
          const outputs = Object.fromEntries(
            sizes.map((size, index) => {
              start += size;
              return [`slice${index}`, slice(whole, axis, start - size, start)];
            }),
          );
          const results = await runner.compute(
            outputs,
            Object.fromEntries(parts.map((part, index) => [`part${index}`, part])),
          );
          parts.forEach((part, index) => {
            expectClose(results[`slice${index}`], part, 0);
          });
        },
      ),
      { numRuns: 15 },
    );
  });

  test("padding puts zeros around, and slicing takes them away", async () => {
    const value = randomTensors(1)([2, 3]);
    const x = input("x", "float32", [2, "T"]);
    const wide = padAxis(x, 1, 2, 1);
    const results = await runner.compute(
      { wide, back: slice(wide, 1, 2, addDims(2, dim("T"))) },
      { x: value },
    );
    expectClose(results.back, value, 0);
    const source = reference(value);
    const expected = build([2, 6], ([row, column]) =>
      column >= 2 && column < 5 ? at(source, [row, column - 2]) : 0,
    );
    expectClose(results.wide, expected, 0);
  });

  test("broadcast repeats sides of 1 and adds leading ones", async () => {
    const value = randomTensors(3)([2, 1, 3]);
    const y = broadcast(input("x", "float32", ["B", 1, 3]), [2, "B", 4, 3]);
    const results = await runner.compute({ y }, { x: value });
    const source = reference(value);
    const expected = build([2, 2, 4, 3], ([, b, , e]) => at(source, [b, 0, e]));
    expectClose(results.y, expected, 0);
  });

  test("gathering looks rows up, and scattering adds them back where they came from", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 5 }),
        fc.integer({ min: 0, max: 7 }),
        fc.nat(),
        async (numRows, width, count, seed) => {
          const table = randomTensors(seed)([numRows, width]);
          const places = Array.from(
            { length: 2 * count },
            (_, place) => (place * 7 + seed) % numRows,
          );
          const indices = input("indices", "int64", [2, "N"]);
          const rows = gatherRows(input("table", "float32", [numRows, width]), indices);
          const results = await runner.compute(
            { rows, back: scatterRows(rows, indices, numRows), hot: oneHot(indices, numRows) },
            { table, indices: int64([2, count], places) },
          );
          const source = reference(table);
          expectClose(
            results.rows,
            build([2, count, width], ([a, b, e]) => at(source, [places[a * count + b], e])),
            0,
          );
          const occurrences = (row: number) => places.filter((place) => place === row).length;
          expectClose(
            results.back,
            build([numRows, width], ([row, e]) => occurrences(row) * at(source, [row, e])),
            1e-6,
          );
          expectClose(
            results.hot,
            build([2, count, numRows], ([a, b, row]) => Number(places[a * count + b] === row)),
            0,
          );
        },
      ),
      { numRuns: 15 },
    );
  });
});

describe("named sides", () => {
  test("one session serves every value of its named sides, 0 and 1 included", async () => {
    const { createGraph } = await import("../../src/graph/index.js");
    const width = 6;
    const x = input("x", "float32", ["B", "T", width]);
    const y = input("y", "float32", ["B", "M", width]);
    const joined = concat([x, y], 1);
    const length = addDims(dim("T"), dim("M"));
    const flat = reshape(joined, [multiplyDims(dim("B"), length, 2), 3]);
    const session = await runner.engine().open(
      createGraph("named", {
        flat,
        tail: slice(joined, 1, subtractDims(length, dim("M")), length),
        split: transpose(reshape(joined, ["B", length, 2, 3]), [0, 2, 1, 3]),
      }),
      () => {
        throw new Error("no parameters");
      },
    );
    for (const [b, t, m] of [
      [1, 1, 1],
      [2, 5, 3],
      [1, 7, 0],
      [3, 0, 2],
      [2, 5, 3],
    ]) {
      const random = randomTensors(b + 10 * t + 100 * m);
      const feeds = { x: random([b, t, width]), y: random([b, m, width]) };
      const results = await session.run(feeds);
      const parts = [reference(feeds.x), reference(feeds.y)];
      const element = (batch: number, place: number, e: number): number =>
        place < t ? at(parts[0], [batch, place, e]) : at(parts[1], [batch, place - t, e]);
      const expected = build([b, t + m, width], ([batch, place, e]) => element(batch, place, e));
      expectClose(results.flat, { shape: [b * (t + m) * 2, 3], data: expected.data }, 0);
      expectClose(results.tail, feeds.y, 0);
      expectClose(
        results.split,
        build([b, 2, t + m, 3], ([batch, half, place, e]) => element(batch, place, 3 * half + e)),
        0,
      );
    }
    await session.close();
  });
});

describe("layout operators refuse, naming the shapes", () => {
  const x = input("x", "float32", ["B", 6]);

  test("reshapes that lose elements or do not divide", () => {
    expect(() => reshape(x, ["B", 5])).toThrow(/\[B, 6\] to \[B, 5\]/);
    expect(() => reshape(x, ["B", 4, -1])).toThrow(ShapeError);
    expect(elementCount([2, 3])).toBe(6);
  });

  test("permutations, axes, ranges and parts that do not fit", () => {
    expect(() => transpose(x, [0, 0])).toThrow(/permutation of 2 axes, got \[0,0\]/);
    expect(() => concat([], 0)).toThrow(ShapeError);
    expect(() => concat([x, input("y", "float32", ["B", 6])], 2)).toThrow(ShapeError);
    expect(() => concat([x, input("y", "float32", ["C", 5])], 0)).toThrow(/axis 0 must agree/);
    expect(() => slice(x, 1, 2, 7)).toThrow(/2\.\.7 must lie within side 1 of \[B, 6\]/);
    expect(() => slice(x, 1, 4, 2)).toThrow(ShapeError);
    expect(() => slice(x, 1, -1, 3)).toThrow(ShapeError);
    expect(() => broadcast(x, ["B", 7])).toThrow(ShapeError);
    expect(() => gatherRows(x, input("i", "int32", [2]))).toThrow(/int64 indices/);
  });
});
