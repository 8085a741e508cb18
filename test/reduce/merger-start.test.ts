import { expect, test } from "vitest";
import { input, type Tensor } from "../../src/graph/index.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { merger, mergerParams } from "../../src/reduce/merger.js";
import { type PooledStart, pooledStart } from "../../src/reduce/merger-start.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { projector, projectorParams } from "../../src/vision/projector.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";

const runner = useEngine();
const width = 6;
const random = randomTensors(11);
const projectorValues = new Map(
  [
    ...listParameters(
      projectorParams(new ParameterScope(), { inWidth: width, outWidth: width, numLayers: 2 }),
    ),
  ].map(([name, { shape }]) => [name, random(shape.map(Number))] as const),
);
const start = (changes: Partial<PooledStart> = {}): PooledStart => ({
  readProjector: async (name) => projectorValues.get(name) as TensorData<"float32">,
  drawn: () => random([4 * width, 4 * width]),
  deviations: [1, 1],
  ...changes,
});

/** Rows of windows whose mean is 0 and whose deviation is 1, so that a norm leaves them as they are. */
const normed = ({ data, shape }: TensorData, size: number): TensorData<"float32"> => {
  const own = Float32Array.from(data, Number);
  for (let from = 0; from < own.length; from += size) {
    const row = own.subarray(from, from + size);
    const mean = row.reduce((sum, value) => sum + value, 0) / size;
    const deviation = Math.sqrt(row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size);
    row.forEach((value, index) => {
      row[index] = (value - mean) / deviation;
    });
  }
  return float32(shape, own);
};

/** Means over four neighbours. */
const means = ({ data, shape: [rows] }: TensorData): TensorData<"float32"> => {
  const own = new Float32Array((rows / 4) * width);
  data.forEach((value: number | bigint, index: number) => {
    own[Math.floor(index / width / 4) * width + (index % width)] += Number(value) / 4;
  });
  return float32([rows / 4, width], own);
};

const largestDifference = (a: TensorData, b: TensorData): number => {
  const [own, theirs] = [a, b].map(({ data }) => [...data].map(Number));
  return Math.max(...own.map((value, index) => Math.abs(value - theirs[index])));
};

/** The tokens of a merger that begins so. */
const merge = async (numStages: number, x: TensorData, deviations: readonly number[]) => {
  const params = mergerParams(new ParameterScope(), { inWidth: width, outWidth: width, numStages });
  const values = new Map<string, TensorData>();
  for (const [name, { shape }] of listParameters(params)) {
    values.set(name, await pooledStart(name, shape.map(Number), start({ deviations })));
  }
  const tokens: Tensor = merger(params, input("x", "float32", x.shape));
  return (await runner.compute({ tokens }, { x }, values)).tokens;
};

const project = async (x: TensorData): Promise<TensorData> => {
  const params = projectorParams(new ParameterScope(), {
    inWidth: width,
    outWidth: width,
    numLayers: 2,
  });
  const tokens = projector(params, input("x", "float32", x.shape));
  return (await runner.compute({ tokens }, { x }, projectorValues)).tokens;
};

test("a stage is the mean of what the projector makes of its four patches", async () => {
  const x = normed(random([32, width]), 4 * width);
  expect(largestDifference(await merge(1, x, [1]), means(await project(x)))).toBeLessThan(1e-5);
});

test("the second stage is the mean of four such tokens, but for what its norm takes out", async () => {
  const x = normed(random([32, width]), 4 * width);
  const tokens = means(await project(x));
  const [first, second] = [await merge(2, x, [1, 1]), await merge(2, x, [1, 2.5])];
  expect(largestDifference(first, means(normed(tokens, 4 * width)))).toBeLessThan(1e-5);
  // The deviation that is given comes back.
  const larger = float32(
    first.shape,
    Float32Array.from([...first.data].map((value) => 2.5 * Number(value))),
  );
  expect(largestDifference(second, larger)).toBeLessThan(1e-5);
});

test("units that the mean does not need stay as drawn, and say nothing yet", async () => {
  const drawn = random([4 * width, 4 * width]);
  const up = await pooledStart("stages.1.up.weight", drawn.shape, start({ drawn: () => drawn }));
  const from = 2 * width * 4 * width;
  expect([...up.data.subarray(from)]).toEqual([...drawn.data.subarray(from)]);
  const down = await pooledStart("stages.1.down.weight", [width, 4 * width], start());
  const said = [...down.data].map((value, index) => (index % (4 * width) < 2 * width ? 0 : value));
  expect(said.every((value) => value === 0)).toBe(true);
});

test.each([
  ["stages.2.up.weight", [24, 24], [1, 1]],
  ["stages.1.up.weight", [24, 24], [1]],
  ["norm.weight", [24], [1]],
  ["stages.0.up.weight", [32, 32], [1]],
  ["stages.0.down.weight", [8, 24], [1]],
  ["stages.1.down.weight", [8, 24], [1, 1]],
])("%s of shape %j with deviations %j is refused", async (name, shape, deviations) => {
  await expect(pooledStart(name, shape, start({ deviations }))).rejects.toThrow("pooledStart");
});
