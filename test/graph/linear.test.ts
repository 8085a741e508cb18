import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import {
  broadcastShapes,
  input,
  largest,
  layerNorm,
  linear,
  matmul,
  mean,
  rmsNorm,
  rope,
  ropeTables,
  softmax,
  sum,
  tokenLoss,
} from "../../src/graph/index.js";
import { int64 } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import {
  at,
  build,
  expectClose,
  type Reference,
  reference,
  sumOf,
} from "../support/reference-tensors.js";

const runner = useEngine();
const side = fc.integer({ min: 1, max: 9 });

describe("matrix products", () => {
  test("matmul is alpha · op(a) op(b) for every batch, leading sides broadcast", async () => {
    const batches = fc.constantFrom<[number[], number[]]>(
      [[], []],
      [[3], [3]],
      [
        [2, 3],
        [2, 3],
      ],
      [[2, 3], [3]],
      [
        [2, 1],
        [2, 3],
      ],
      [[1], [4]],
      [[4], []],
    );
    await fc.assert(
      fc.asyncProperty(
        fc.record({ m: side, k: side, n: side, batches, tA: fc.boolean(), tB: fc.boolean() }),
        fc.nat(),
        async ({ m, k, n, batches: [batchA, batchB], tA, tB }, seed) => {
          const random = randomTensors(seed);
          const a = random([...batchA, ...(tA ? [k, m] : [m, k])]);
          const b = random([...batchB, ...(tB ? [n, k] : [k, n])]);
          const y = matmul(input("a", "float32", a.shape), input("b", "float32", b.shape), {
            transposeA: tA,
            transposeB: tB,
            alpha: 0.5,
          });
          const results = await runner.compute({ y }, { a, b });
          const [left, right] = [reference(a), reference(b)];
          const batch = broadcastShapes("test", batchA, batchB).map(Number);
          const expected = build([...batch, m, n], (index) => {
            const [row, column] = index.slice(-2);
            const lead = index.slice(0, -2);
            const product = sumOf(
              k,
              (inner) =>
                at(left, [...lead, ...(tA ? [inner, row] : [row, inner])]) *
                at(right, [...lead, ...(tB ? [column, inner] : [inner, column])]),
            );
            return 0.5 * product;
          });
          expectClose(results.y, expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  test("a linear layer is x Wᵀ + b for any number of leading sides", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 3 }),
        side,
        side,
        fc.boolean(),
        fc.nat(),
        async (lead, inner, outer, hasBias, seed) => {
          const random = randomTensors(seed);
          const [x, weight, bias] = [
            random([...lead, inner]),
            random([outer, inner]),
            random([outer]),
          ];
          const y = linear(
            input("x", "float32", x.shape),
            input("weight", "float32", weight.shape),
            hasBias ? input("bias", "float32", [outer]) : undefined,
          );
          const results = await runner.compute({ y }, { x, weight, ...(hasBias && { bias }) });
          const [rx, rw, rb] = [x, weight, bias].map(reference);
          const expected = build([...lead, outer], (index) => {
            const row = index.slice(0, -1);
            const column = index[index.length - 1];
            const start = hasBias ? at(rb, [column]) : 0;
            return start + sumOf(inner, (e) => at(rx, [...row, e]) * at(rw, [column, e]));
          });
          expectClose(results.y, expected);
        },
      ),
      { numRuns: 20 },
    );
  });

  test("sides that do not meet are refused with both shapes", () => {
    const [a, b] = [input("a", "float32", ["T", 3]), input("b", "float32", [4, 2])];
    expect(() => matmul(a, b)).toThrow(/inner sides must be equal, got \[T, 3\] and \[4, 2\]/);
    expect(() => matmul(a, input("v", "float32", [3]))).toThrow(ShapeError);
    expect(() => linear(a, b)).toThrow(/\[T, 3\] and \[4, 2\]/);
    expect(() => linear(a, input("w", "float32", [5, 3]), b)).toThrow(/bias must be \[5\]/);
  });
});

describe("reductions, soft-max and norms", () => {
  const cases = fc
    .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 })
    .chain((shape) =>
      fc.tuple(fc.constant(shape), fc.subarray([...shape.keys()]), fc.boolean(), fc.nat()),
    );

  test("sum, mean and largest run over the axes asked for and no others", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ([shape, axes, keepSides, seed]) => {
        const value = randomTensors(seed)(shape);
        const x = input("x", "float32", shape);
        // Axes from either end.
        const asked = axes.map((axis) => (axis % 2 === 0 ? axis : axis - shape.length));
        const results = await runner.compute(
          {
            sum: sum(x, asked, { keepSides }),
            mean: mean(x, asked, { keepSides }),
            largest: largest(x, asked, { keepSides }),
          },
          { x: value },
        );
        const source = reference(value);
        const wide = shape.map((side, axis) => (axes.includes(axis) ? 1 : side));
        const elements = (index: readonly number[]): number[] => {
          const all: number[] = [];
          build(shape, (place) => {
            if (place.every((p, axis) => axes.includes(axis) || p === index[axis]))
              all.push(at(source, place));
            return 0;
          });
          return all;
        };
        const reduce = (of: (all: number[]) => number): Reference => ({
          shape: keepSides ? wide : shape.filter((_, axis) => !axes.includes(axis)),
          data: build(wide, (index) => of(elements(index))).data,
        });
        const total = (all: number[]) => all.reduce((sum, element) => sum + element, 0);
        expectClose(results.sum, reduce(total));
        expectClose(
          results.mean,
          reduce((all) => total(all) / all.length),
        );
        expectClose(
          results.largest,
          reduce((all) => Math.max(...all)),
          0,
        );
      }),
      { numRuns: 20 },
    );
  });

  test("soft-max is exp over the sum of exp, also for scores far from zero", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ([shape, , , seed]) => {
        const value = randomTensors(seed)(shape, 300);
        const axis = seed % shape.length;
        const y = softmax(input("x", "float32", shape), axis);
        const results = await runner.compute({ y }, { x: value });
        const source = reference(value);
        const expected = build(shape, (index) => {
          const row = Array.from({ length: shape[axis] }, (_, place) =>
            at(
              source,
              index.map((own, side) => (side === axis ? place : own)),
            ),
          );
          const top = Math.max(...row);
          const total = row.reduce((sum, score) => sum + Math.exp(score - top), 0);
          return Math.exp(row[index[axis]] - top) / total;
        });
        expectClose(results.y, expected);
      }),
      { numRuns: 15 },
    );
  });

  test("layer norm and root-mean-square norm follow their formulas", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 2 }),
        fc.integer({ min: 2, max: 12 }),
        fc.nat(),
        async (lead, width, seed) => {
          const random = randomTensors(seed);
          const [x, weight, bias] = [random([...lead, width], 3), random([width]), random([width])];
          const declared = input("x", "float32", x.shape);
          const [w, b] = [input("weight", "float32", [width]), input("bias", "float32", [width])];
          const epsilon = 1e-3;
          const results = await runner.compute(
            { layer: layerNorm(declared, w, b, epsilon), rms: rmsNorm(declared, w, epsilon) },
            { x, weight, bias },
          );
          const [rx, rw, rb] = [x, weight, bias].map(reference);
          const row = (index: readonly number[]) =>
            Array.from({ length: width }, (_, e) => at(rx, [...index.slice(0, -1), e]));
          const meanOf = (all: number[]) => all.reduce((sum, e) => sum + e, 0) / all.length;
          const layer = build(x.shape, (index) => {
            const own = row(index);
            const centre = meanOf(own);
            const variance = meanOf(own.map((e) => (e - centre) ** 2));
            const e = index[index.length - 1];
            return ((own[e] - centre) / Math.sqrt(variance + epsilon)) * at(rw, [e]) + at(rb, [e]);
          });
          const rms = build(x.shape, (index) => {
            const own = row(index);
            const e = index[index.length - 1];
            return (own[e] / Math.sqrt(meanOf(own.map((v) => v * v)) + epsilon)) * at(rw, [e]);
          });
          expectClose(results.layer, layer);
          expectClose(results.rms, rms);
        },
      ),
      { numRuns: 15 },
    );
  });

  test("the token loss is the negative log of the label's soft-max, also for huge scores", async () => {
    const scores = randomTensors(7)([4, 5], 200);
    const labels = [0, 4, 2, 2];
    const loss = tokenLoss(input("scores", "float32", ["R", 5]), input("labels", "int64", ["R"]));
    const results = await runner.compute({ loss }, { scores, labels: int64([4], labels) });
    const source = reference(scores);
    const expected = build([4], ([row]) => {
      const own = Array.from({ length: 5 }, (_, w) => at(source, [row, w]));
      const top = Math.max(...own);
      return Math.log(own.reduce((sum, s) => sum + Math.exp(s - top), 0)) + top - own[labels[row]];
    });
    expectClose(results.loss, expected);
  });

  test("parameters of another width are refused", () => {
    const x = input("x", "float32", ["T", 8]);
    const w = input("w", "float32", [7]);
    expect(() => layerNorm(x, w, w, 1e-5)).toThrow(/parameters must be \[8\], got \[7\]/);
    expect(() => rmsNorm(x, w, 1e-5)).toThrow(ShapeError);
    expect(() => softmax(x, 2)).toThrow(ShapeError);
    expect(() => sum(x, [-3])).toThrow(ShapeError);
  });
});

describe("rotary embeddings", () => {
  test("turn element i with element i + E/2 by place · frequency, for any places", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          batch: fc.integer({ min: 1, max: 3 }),
          length: fc.integer({ min: 1, max: 6 }),
          heads: fc.integer({ min: 1, max: 4 }),
          half: fc.integer({ min: 1, max: 7 }),
        }),
        fc.nat(),
        async ({ batch, length, heads, half }, seed) => {
          const numPlaces = 5000;
          const frequencies = Array.from({ length: half }, (_, i) => 10_000 ** (-i / half));
          const random = randomTensors(seed);
          const x = random([batch, length, heads * 2 * half]);
          const places = Array.from(
            { length: batch * length },
            (_, place) => (place * 977 + seed) % numPlaces,
          );
          const y = rope(
            input("x", "float32", ["B", "T", heads * 2 * half]),
            input("positions", "int64", ["B", "T"]),
            ropeTables(frequencies, numPlaces),
            heads,
          );
          const results = await runner.compute(
            { y },
            { x, positions: int64([batch, length], places) },
          );
          const source = reference(x);
          const expected = build(x.shape, ([b, t, column]) => {
            const start = column - (column % (2 * half));
            const e = column % (2 * half);
            const angle = places[b * length + t] * frequencies[e % half];
            const own = at(source, [b, t, column]);
            const other = at(source, [b, t, start + ((e + half) % (2 * half))]);
            return own * Math.cos(angle) + (e < half ? -other : other) * Math.sin(angle);
          });
          expectClose(results.y, expected);
        },
      ),
      { numRuns: 15 },
    );
  });

  test("need int64 places of the same batch and length", () => {
    const x = input("x", "float32", ["B", "T", 8]);
    const tables = ropeTables([1, 0.1], 4);
    expect(() => rope(x, input("p", "int64", ["T"]), tables, 2)).toThrow(ShapeError);
    expect(() => rope(x, input("p", "int32", ["B", "T"]), tables, 2)).toThrow(/int64 positions/);
  });
});
