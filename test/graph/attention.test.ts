import fc from "fast-check";
import * as onnxRuntime from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { EngineHost, type OnnxRuntime } from "../../src/graph/engine-host.js";
import {
  alignedHeadWidth,
  attention,
  cachedAttention,
  cacheRows,
  createGraph,
  inMemoryParameters,
  input,
  lowerGraph,
  residentRows,
  type Tensor,
} from "../../src/graph/index.js";
import type { TensorData } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose, reference, referenceAttention } from "../support/reference-tensors.js";

const runner = useEngine();
const int32 = (values: readonly number[]): TensorData<"int32"> => ({
  dtype: "int32",
  shape: [values.length],
  data: Int32Array.from(values),
});

/** Sizes of one attention. Widths of heads are any number, not only what kernels like. */
const sizes = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  numQueries: fc.integer({ min: 1, max: 20 }),
  numKeys: fc.integer({ min: 1, max: 20 }),
  numKeyValueHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 3 }),
  width: fc.integer({ min: 1, max: 19 }),
  seed: fc.nat(),
});
type Sizes = typeof sizes extends fc.Arbitrary<infer Value> ? Value : never;

/** Inputs of an attention and the graph's declaration of them, sides named. */
const drawInputs = ({ batch, numQueries, width, seed, ...heads }: Sizes, numKeys: number) => {
  const random = randomTensors(seed);
  const numHeads = heads.numKeyValueHeads * heads.group;
  const feeds = {
    query: random([batch, numQueries, numHeads * width], 2),
    key: random([batch, numKeys, heads.numKeyValueHeads * width], 2),
    value: random([batch, numKeys, heads.numKeyValueHeads * width], 2),
  };
  const keySide = numKeys === numQueries ? "T" : "S";
  const query = input("query", "float32", ["B", "T", numHeads * width]);
  const [key, value] = ["key", "value"].map((name) =>
    input(name, "float32", ["B", keySide, heads.numKeyValueHeads * width]),
  );
  const attributes = {
    numHeads,
    numKeyValueHeads: heads.numKeyValueHeads,
    scale: 0.7 / Math.sqrt(width),
  };
  return { feeds, query, key, value, attributes, random };
};

describe("attention equals softmax(scale · Q Kᵀ + bias) V", () => {
  test("without a mask, keys as many as queries or not, any width of heads", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (all) => {
        const plain = { ...all, group: 1 };
        const { feeds, query, key, value, attributes } = drawInputs(plain, all.numKeys);
        const mixed = attention(query, key, value, { ...attributes, causal: false });
        const results = await runner.compute({ mixed }, feeds);
        const [q, k, v] = [feeds.query, feeds.key, feeds.value].map(reference);
        expectClose(results.mixed, referenceAttention(q, k, v, attributes));
      }),
      { numRuns: 25 },
    );
  });

  test("causal, with grouped queries and heads filled up to the kernel's width", async () => {
    await fc.assert(
      fc.asyncProperty(sizes, async (all) => {
        const { feeds, query, key, value, attributes } = drawInputs(all, all.numQueries);
        const mixed = attention(query, key, value, { ...attributes, causal: true });
        const results = await runner.compute({ mixed }, feeds);
        const [q, k, v] = [feeds.query, feeds.key, feeds.value].map(reference);
        const visible = (_: number, t: number) => t + 1;
        expectClose(results.mixed, referenceAttention(q, k, v, { ...attributes, visible }));
      }),
      { numRuns: 25 },
    );
  });

  test("with a bias of every sample and head, or one for all of them", async () => {
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.boolean(),
        fc.boolean(),
        fc.boolean(),
        async (all, causal, perSample, perHead) => {
          const chosen = causal ? all : { ...all, group: 1 };
          const numKeys = causal ? all.numQueries : all.numKeys;
          const { feeds, query, key, value, attributes, random } = drawInputs(chosen, numKeys);
          const biasShape = [
            perSample ? all.batch : 1,
            perHead ? attributes.numHeads : 1,
            all.numQueries,
            numKeys,
          ];
          const bias = random(biasShape, 3);
          const mixed = attention(
            query,
            key,
            value,
            { ...attributes, causal },
            input("bias", "float32", [
              perSample ? "B" : 1,
              biasShape[1],
              "T",
              numKeys === all.numQueries ? "T" : "S",
            ]),
          );
          const results = await runner.compute({ mixed }, { ...feeds, bias });
          const [q, k, v] = [feeds.query, feeds.key, feeds.value].map(reference);
          const expected = referenceAttention(q, k, v, {
            ...attributes,
            bias: reference(bias),
            ...(causal && { visible: (_: number, t: number) => t + 1 }),
          });
          expectClose(results.mixed, expected);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("composed from its parts it is the same as from the fused kernel", async () => {
    const host = new EngineHost(onnxRuntime as unknown as OnnxRuntime);
    await fc.assert(
      fc.asyncProperty(sizes, fc.boolean(), fc.boolean(), async (all, causal, hasBias) => {
        const chosen = causal ? all : { ...all, group: 1 };
        const numKeys = causal ? all.numQueries : all.numKeys;
        const { feeds, query, key, value, attributes, random } = drawInputs(chosen, numKeys);
        const bias = random([1, 1, all.numQueries, numKeys], 3);
        const keySide = numKeys === all.numQueries ? "T" : "S";
        const declared = hasBias ? input("bias", "float32", [1, 1, "T", keySide]) : undefined;
        const mixed = attention(query, key, value, { ...attributes, causal }, declared);
        const graph = createGraph("test", { mixed });
        const outputs: TensorData[] = [];
        for (const maxFusedQueries of [0, Number.POSITIVE_INFINITY]) {
          const sessionId = await host.open({
            model: lowerGraph(graph, inMemoryParameters(new Map()), { maxFusedQueries }),
            provider: "cpu",
            threads: 1,
            files: [],
          });
          const results = await host.run({
            sessionId,
            feeds: { ...feeds, ...(hasBias && { bias }) },
            fetch: ["mixed"],
            into: {},
          });
          outputs.push(results.mixed);
          await host.close(sessionId);
        }
        expectClose(outputs[0], outputs[1]);
      }),
      { numRuns: 20 },
    );
    await host.closeAll();
  });
});

describe("cached attention", () => {
  const cachedGraph = (numHeads: number, numKeyValueHeads: number, width: number) => {
    const declare = (name: string, heads: number) =>
      input(name, "float32", ["B", "T", heads * width]);
    const cacheShape = ["B", numKeyValueHeads, "S", alignedHeadWidth(width)] as const;
    const { output, cache } = cachedAttention(
      declare("query", numHeads),
      declare("key", numKeyValueHeads),
      declare("value", numKeyValueHeads),
      {
        key: input("pastKey", "float32", cacheShape),
        value: input("pastValue", "float32", cacheShape),
      },
      {
        lastIndex: input("lastIndex", "int32", ["B"]),
        totalLength: input("totalLength", "int32", [1]),
      },
      { numHeads, numKeyValueHeads, scale: 1 / Math.sqrt(width) },
    );
    return createGraph("cached", { output, presentKey: cache.key, presentValue: cache.value });
  };

  test("is the same whether its cache is asked for or not, and new rows are what the cache grows by", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          past: fc.integer({ min: 0, max: 6 }),
          length: fc.integer({ min: 1, max: 5 }),
          numKeyValueHeads: fc.integer({ min: 1, max: 2 }),
          width: fc.integer({ min: 1, max: 17 }),
          seed: fc.nat(),
        }),
        async ({ past, length, numKeyValueHeads, width, seed }) => {
          const engine = runner.engine();
          const random = randomTensors(seed);
          const [capacity, held] = [past + length + 2, alignedHeadWidth(width)];
          const total = numKeyValueHeads * width;
          const graph = cachedGraph(numKeyValueHeads, numKeyValueHeads, width);
          const declared = (name: string) => graph.inputs.get(name) as Tensor;
          const alone = createGraph("alone", {
            output: graph.outputs.get("output") as Tensor,
            keyRows: cacheRows(declared("key"), numKeyValueHeads),
            valueRows: cacheRows(declared("value"), numKeyValueHeads),
          });
          const pastOf = (): TensorData => {
            const whole = random([1, numKeyValueHeads, capacity, held], 1);
            // Heads are filled up with zeros, in a cache too.
            return { ...whole, data: whole.data.map((x, at) => (at % held < width ? x : 0)) };
          };
          const feeds = {
            query: random([1, length, total], 2),
            key: random([1, length, total], 2),
            value: random([1, length, total], 2),
            pastKey: pastOf(),
            pastValue: pastOf(),
            lastIndex: int32([past + length - 1]),
            totalLength: int32([past + length]),
          };
          const both = [];
          for (const each of [graph, alone]) {
            const session = await engine.open(each, inMemoryParameters(new Map()));
            both.push(await session.run(feeds));
            await session.close();
          }
          const [asked, unasked] = both;
          expectClose(unasked.output, asked.output);
          for (const [rows, present] of [
            [unasked.keyRows, asked.presentKey],
            [unasked.valueRows, asked.presentValue],
          ]) {
            expect(rows.shape).toEqual([1, numKeyValueHeads, length, held]);
            for (let head = 0; head < numKeyValueHeads; head += 1) {
              const start = (head * capacity + past) * held;
              expect(present.data.subarray(start, start + length * held)).toEqual(
                rows.data.subarray(head * length * held, (head + 1) * length * held),
              );
            }
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  test("chunks of any sizes, then single steps of a batch of unequal lengths, equal the full forward", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          lengths: fc.array(fc.integer({ min: 1, max: 14 }), { minLength: 1, maxLength: 3 }),
          numSteps: fc.integer({ min: 0, max: 4 }),
          chunk: fc.integer({ min: 1, max: 15 }),
          spare: fc.integer({ min: 0, max: 9 }),
          numKeyValueHeads: fc.integer({ min: 1, max: 2 }),
          group: fc.integer({ min: 1, max: 3 }),
          width: fc.integer({ min: 1, max: 17 }),
          seed: fc.nat(),
        }),
        async ({ lengths, numSteps, chunk, spare, numKeyValueHeads, group, width, seed }) => {
          const engine = runner.engine();
          const random = randomTensors(seed);
          const numHeads = numKeyValueHeads * group;
          const batch = lengths.length;
          const capacity = Math.max(...lengths) + numSteps + spare;
          // What every sequence will have read in the end.
          const sequences = lengths.map((length) => ({
            query: random([1, length + numSteps, numHeads * width], 2),
            key: random([1, length + numSteps, numKeyValueHeads * width], 2),
            value: random([1, length + numSteps, numKeyValueHeads * width], 2),
          }));
          type Part = keyof (typeof sequences)[number];
          const rowsOf = (row: number, part: Part, start: number, end: number): number[] => {
            const { data, shape } = sequences[row][part];
            return Array.from(data.subarray(start * shape[2], end * shape[2]));
          };
          const part = (name: Part, places: readonly (readonly [number, number, number])[]) => {
            const rows = places.map(([row, start, end]) => rowsOf(row, name, start, end));
            const total = sequences[0][name].shape[2];
            return {
              dtype: "float32" as const,
              shape: [places.length, places[0][2] - places[0][1], total],
              data: Float32Array.from(rows.flat()),
            };
          };
          const cacheShape = [batch, numKeyValueHeads, capacity, alignedHeadWidth(width)];
          const memory = {
            key: await engine.allocate("float32", cacheShape),
            value: await engine.allocate("float32", cacheShape),
          };
          const session = await engine.open(
            cachedGraph(numHeads, numKeyValueHeads, width),
            inMemoryParameters(new Map()),
          );
          const outputs = lengths.map(() => [] as number[]);
          /** Runs the places (row, start, end), one of each row from `first` on, all equally long. */
          const run = async (first: number, places: [number, number, number][]): Promise<void> => {
            const [keys, values] = [memory.key, memory.value].map((whole) =>
              residentRows(whole, first, first + places.length),
            );
            const results = await session.run(
              {
                query: part("query", places),
                key: part("key", places),
                value: part("value", places),
                pastKey: keys,
                pastValue: values,
                lastIndex: int32(places.map(([, , end]) => end - 1)),
                totalLength: int32([Math.max(...places.map(([, , end]) => end))]),
              },
              { fetch: ["output"], into: { presentKey: keys, presentValue: values } },
            );
            const perRow = results.output.data.length / places.length;
            places.forEach(([row], index) => {
              const own = results.output.data.subarray(index * perRow, (index + 1) * perRow);
              outputs[row].push(...Array.from(own, Number));
            });
          };
          for (const [row, length] of lengths.entries()) {
            for (let start = 0; start < length; start += chunk) {
              await run(row, [[row, start, Math.min(start + chunk, length)]]);
            }
          }
          for (let step = 0; step < numSteps; step += 1) {
            await run(
              0,
              lengths.map((length, row) => [row, length + step, length + step + 1]),
            );
          }
          sequences.forEach(({ query, key, value }, row) => {
            const [q, k, v] = [query, key, value].map(reference);
            const expected = referenceAttention(q, k, v, {
              numHeads,
              numKeyValueHeads,
              scale: 1 / Math.sqrt(width),
              visible: (_, t) => t + 1,
            });
            expectClose({ shape: expected.shape, data: outputs[row] }, expected);
          });
          await session.close();
          await engine.release(memory.key);
          await engine.release(memory.value);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("memory fed as the old and fetched as the new cache is written in place", async () => {
    const engine = runner.engine();
    const [heads, width, capacity] = [2, 8, 5];
    const random = randomTensors(5);
    const session = await engine.open(
      cachedGraph(heads, heads, width),
      inMemoryParameters(new Map()),
    );
    const shape = [1, heads, capacity, width];
    const [pastKey, pastValue] = [
      await engine.allocate("float32", shape),
      await engine.allocate("float32", shape),
    ];
    const key = random([1, 2, heads * width]);
    await session.run(
      {
        query: random([1, 2, heads * width]),
        key,
        value: random([1, 2, heads * width]),
        pastKey,
        pastValue,
        lastIndex: int32([1]),
        totalLength: int32([2]),
      },
      { fetch: ["output"], into: { presentKey: pastKey, presentValue: pastValue } },
    );
    const held = reference(await engine.read(pastKey));
    const source = reference(key);
    for (let head = 0; head < heads; head += 1) {
      for (let place = 0; place < capacity; place += 1) {
        for (let e = 0; e < width; e += 1) {
          const expected = place < 2 ? source.data[(place * heads + head) * width + e] : 0;
          expect(held.data[(head * capacity + place) * width + e]).toBe(expected);
        }
      }
    }
    await session.close();
  });
});

describe("attention refuses", () => {
  const of = (name: string, length: string, width: number) =>
    input(name, "float32", ["B", length, width]);
  const attributes = { numHeads: 4, numKeyValueHeads: 2, scale: 1, causal: true };

  test("heads that do not divide the width, or of different widths", () => {
    const [q, k] = [of("q", "T", 32), of("k", "T", 16)];
    expect(() => attention(of("q", "T", 30), k, k, attributes)).toThrow(/with 4 heads/);
    expect(() => attention(q, of("k", "T", 24), k, attributes)).toThrow(ShapeError);
    expect(() => attention(q, k, of("v", "T", 24), attributes)).toThrow(ShapeError);
    expect(() => attention(q, k, k, { ...attributes, numHeads: 3 })).toThrow(ShapeError);
  });

  test("causal rows of keys that are no row of the queries, and values without keys", () => {
    const [q, k] = [of("q", "T", 32), of("k", "S", 16)];
    expect(() => attention(q, k, k, attributes)).toThrow(/as many keys as queries/);
    expect(() => attention(q, k, of("v", "M", 16), attributes)).toThrow(/equally many/);
  });

  test("grouped queries without a mask, and a bias of another shape", () => {
    const [q, k] = [of("q", "T", 32), of("k", "T", 16)];
    expect(() => attention(q, k, k, { ...attributes, causal: false })).toThrow(/repeat/);
    const bias = input("bias", "float32", [1, 1, "T", "S"]);
    expect(() => attention(q, k, k, attributes, bias)).toThrow(/bias must be/);
  });

  test("caches of another layout", () => {
    const [q, k] = [of("q", "T", 32), of("k", "T", 16)];
    const lengths = {
      lastIndex: input("last", "int32", ["B"]),
      totalLength: input("total", "int32", [1]),
    };
    const cache = (width: number, heads: number) => ({
      key: input("pk", "float32", ["B", heads, "S", width]),
      value: input("pv", "float32", ["B", heads, "S", width]),
    });
    const { causal: _, ...rest } = attributes;
    expect(() => cachedAttention(q, k, k, cache(7, 2), lengths, rest)).toThrow(/\[B, 2, S, 8\]/);
    expect(() => cachedAttention(q, k, k, cache(8, 4), lengths, rest)).toThrow(ShapeError);
  });
});
