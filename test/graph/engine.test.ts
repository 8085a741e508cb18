import { describe, expect, test } from "vitest";
import {
  GraphError,
  OptionsError,
  ProviderUnavailableError,
  SaccadeError,
  SessionClosedError,
  ShapeError,
} from "../../src/errors.js";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import {
  add,
  addDims,
  broadcast,
  concat,
  createGraph,
  dim,
  type Engine,
  gatherRows,
  initParameter,
  inMemoryParameters,
  input,
  linear,
  lowerGraph,
  matmul,
  normal,
  type Tensor,
  Tensor as TensorClass,
} from "../../src/graph/index.js";
import { float32, int64, type TensorData } from "../../src/tensor-data.js";
import { widenBfloat16, widenFloat16 } from "../../src/weights/widen.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();
const noParameters = inMemoryParameters(new Map());
const parameter = (name: string, shape: readonly number[]): Tensor =>
  new TensorClass({ kind: "parameter", name, initializer: normal(1) }, "float32", shape);

describe("parameters stored in half precision", () => {
  /** Every 16-bit pattern of a finite number with a small exponent, and zeros of both signs. */
  const bits = Uint16Array.from({ length: 64 }, (_, index) =>
    index < 2 ? index * 0x8000 : ((index % 2) << 15) | (0x3a00 + 37 * index),
  );
  const stored = {
    float16: { tensor: { dtype: "float16", shape: [8, 8], data: bits }, widen: widenFloat16 },
    bfloat16: {
      tensor: { dtype: "bfloat16", shape: [8, 8], data: bits },
      widen: widenBfloat16,
    },
  } as const;

  for (const [dtype, { tensor, widen }] of Object.entries(stored)) {
    test(`${dtype} is widened exactly, in products and in look-ups`, async () => {
      const weight = parameter("weight", [8, 8]);
      const identity = Float32Array.from({ length: 64 }, (_, index) => Number(index % 9 === 0));
      const results = await runner.compute(
        {
          product: linear(input("x", "float32", [8, 8]), weight),
          rows: gatherRows(weight, input("ids", "int64", ["N"])),
        },
        { x: float32([8, 8], identity), ids: int64([3], [7, 0, 7]) },
        new Map<string, TensorData>([["weight", tensor]]),
      );
      const wide = widen(bits);
      const transposed = Array.from(
        { length: 64 },
        (_, i) => wide[(i % 8) * 8 + Math.floor(i / 8)],
      );
      expectClose(results.product, { shape: [8, 8], data: transposed }, 0);
      const rows = [7, 0, 7].flatMap((row) => [...wide.subarray(8 * row, 8 * row + 8)]);
      expectClose(results.rows, { shape: [3, 8], data: rows }, 0);
    });
  }

  test("a look-up widens the rows that it found, not the table", () => {
    const table = parameter("table", [1000, 8]);
    const graph = createGraph("lookup", { rows: gatherRows(table, input("ids", "int64", ["N"])) });
    const half = { dtype: "float16", shape: [1000, 8], data: new Uint16Array(8000) } as const;
    const text = new TextDecoder("latin1").decode(
      lowerGraph(graph, inMemoryParameters(new Map([["table", half]]))),
    );
    expect(text.indexOf("Gather")).toBeGreaterThan(0);
    expect(text.indexOf("Cast")).toBeGreaterThan(text.indexOf("Gather"));
    expect(text).not.toContain("table.widened");
  });
});

describe("parameters", () => {
  test("first values belong to the name and the seed, whatever is declared beside them", () => {
    const draw = (name: string, seed: number) => [...initParameter(normal(1), name, 5, seed)];
    expect(draw("a", 1)).toEqual(draw("a", 1));
    expect(draw("a", 1)).not.toEqual(draw("b", 1));
    expect(draw("a", 1)).not.toEqual(draw("a", 2));
  });

  test("normal first values have the deviation asked for, and their mean is zero", () => {
    const all = initParameter(normal(0.5), "weights", 20_000, 3);
    const mean = all.reduce((sum, value) => sum + value, 0) / all.length;
    const deviation = Math.sqrt(all.reduce((sum, value) => sum + value * value, 0) / all.length);
    expect(Math.abs(mean)).toBeLessThan(0.02);
    expect(Math.abs(deviation - 0.5)).toBeLessThan(0.02);
  });

  test("without a value, or with too many elements, they are refused by name", async () => {
    const y = linear(input("x", "float32", [1, 2]), parameter("projection", [3, 2]));
    const graph = createGraph("test", { y });
    const open = (tensors: Map<string, TensorData>) =>
      runner.engine().open(graph, inMemoryParameters(tensors));
    await expect(open(new Map())).rejects.toThrow(/no value for parameter "projection"/);
    const wrong = new Map([["projection", float32([3, 3], new Float32Array(9))]]);
    await expect(open(wrong)).rejects.toThrow(/"projection" must have shape \[3,2\], got \[3,3\]/);
  });
});

describe("graphs", () => {
  test("an output may be an input, a value named twice, or an earlier value", async () => {
    const x = input("x", "float32", ["T"]);
    const twice = add(x, x);
    const feed = float32([2], [1, -3]);
    const results = await runner.compute(
      { same: x, twice, again: twice, four: add(twice, twice) },
      { x: feed },
    );
    expect([...results.same.data]).toEqual([1, -3]);
    expect([...results.twice.data]).toEqual([2, -6]);
    expect([...results.again.data]).toEqual([2, -6]);
    expect([...results.four.data]).toEqual([4, -12]);
  });

  test("names stand for one thing each", () => {
    const x = input("x", "float32", ["T"]);
    expect(() => createGraph("g", { y: concat([x, input("x", "float32", [4])], 0) })).toThrow(
      GraphError,
    );
    expect(() => createGraph("g", { x: add(x, x) })).toThrow(/output "x" of "g" has the name/);
  });

  test("a chain of thousands of operations is no deeper than any other", () => {
    let y = input("x", "float32", [1]);
    const x = y;
    for (let step = 0; step < 20_000; step += 1) y = add(y, x);
    expect(createGraph("deep", { y }).operations.length).toBe(20_000);
  });

  test("a side that no input has cannot be computed, and is named", async () => {
    const y = broadcast(input("x", "float32", [1, 2]), ["Z", 2]);
    await expect(runner.compute({ y })).rejects.toThrow(GraphError);
    await expect(runner.compute({ y })).rejects.toThrow(/no input of "test" has a side named Z/);
  });
});

describe("feeds are checked before anything runs", () => {
  const open = () => {
    const [a, b] = [
      input("a", "float32", ["B", "T"]),
      input("b", "float32", ["B", addDims(dim("T"), 1)]),
    ];
    return runner.engine().open(createGraph("pair", { joined: concat([a, b], 1) }), noParameters);
  };
  const zeros = (...shape: number[]) => randomTensors(1)(shape);

  test("a wrong shape names the tensor, what was expected and what came", async () => {
    const session = await open();
    const wrong = session.run({ a: zeros(2, 3), b: zeros(2, 5) });
    await expect(wrong).rejects.toThrow(ShapeError);
    await expect(wrong).rejects.toThrow(
      'run: input "b" of "pair" must be float32[B, T + 1] with B = 2, T = 3, got float32[2, 5]',
    );
    await expect(session.run({ a: zeros(2), b: zeros(2, 4) })).rejects.toThrow(
      'run: input "a" of "pair" must be float32[B, T], got float32[2]',
    );
    await expect(
      session.run({ a: int64([2, 3], [0, 0, 0, 0, 0, 0]), b: zeros(2, 4) }),
    ).rejects.toThrow(/must be float32\[B, T\], got int64\[2, 3\]/);
    const { joined } = await session.run({ a: zeros(2, 3), b: zeros(2, 4) });
    expect(joined.shape).toEqual([2, 7]);
    await session.close();
  });

  test("data that does not fill its shape is refused", async () => {
    const session = await open();
    const short = { ...zeros(2, 3), data: new Float32Array(5) };
    await expect(session.run({ a: short, b: zeros(2, 4) })).rejects.toThrow(
      /"a" of "pair" must hold the 6 elements of its shape \[2, 3\], got 5/,
    );
    await session.close();
  });

  test("unknown and missing inputs, and unknown outputs, are refused with the known names", async () => {
    const session = await open();
    const feeds = { a: zeros(1, 1), b: zeros(1, 2) };
    await expect(session.run({ ...feeds, c: zeros(1) })).rejects.toThrow(/no input "c"; .* a, b/);
    await expect(session.run({ a: feeds.a })).rejects.toThrow(/input "b" of "pair" is missing/);
    await expect(session.run(feeds, { fetch: ["sum"] })).rejects.toThrow(GraphError);
    await expect(session.run(feeds, { fetch: ["sum"] })).rejects.toThrow(
      /no output "sum"; its outputs are joined/,
    );
    const narrow = await runner.engine().allocate("float32", [1, 2]);
    await expect(session.run(feeds, { into: { joined: narrow } })).rejects.toThrow(
      /output "joined" must be .*, got float32\[1, 2\]/,
    );
    await runner.engine().release(narrow);
    await session.close();
  });
});

describe("an engine", () => {
  const doubled = createGraph("doubled", {
    y: add(input("x", "float32", ["T"]), input("x", "float32", ["T"])),
  });
  const one = { x: float32([1], [1]) };

  test("that is closed refuses everything, and closes twice without harm", async () => {
    const engine = createNodeEngine({ threads: 1 });
    const session = await engine.open(doubled, noParameters);
    const memory = await engine.allocate("float32", [1]);
    await session.run(one);
    await engine.close();
    await engine.close();
    await expect(session.run(one)).rejects.toThrow(SessionClosedError);
    await expect(engine.open(doubled, noParameters)).rejects.toThrow(SessionClosedError);
    await expect(engine.read(memory)).rejects.toThrow(SessionClosedError);
    await expect(async () => engine.allocate("float32", [1])).rejects.toThrow(SessionClosedError);
    await engine.release(memory);
    await session.close();
  });

  test("keeps working when one of its sessions is closed", async () => {
    const [first, second] = [
      await runner.engine().open(doubled, noParameters),
      await runner.engine().open(doubled, noParameters),
    ];
    await first.close();
    await first.close();
    await expect(first.run(one)).rejects.toThrow(/session "doubled": it is closed; open a new one/);
    expect((await second.run(one)).y.data[0]).toBe(2);
    await second.close();
  });

  test("errors of its thread keep their class and message", async () => {
    const engine = runner.engine();
    const memory = await engine.allocate("float32", [2]);
    await engine.release(memory);
    await expect(engine.read(memory)).rejects.toThrow(SessionClosedError);
    await expect(engine.read(memory)).rejects.toThrow(/was released; allocate it again/);
    // What the runtime itself refuses is ours too, and the thread lives on.
    const rows = gatherRows(input("table", "float32", [2, 1]), input("ids", "int64", ["N"]));
    const outside = runner.compute(
      { rows },
      { table: float32([2, 1], [1, 2]), ids: int64([1], [5]) },
    );
    await expect(outside).rejects.toThrow(SaccadeError);
    const inside = await runner.compute(
      { rows },
      { table: float32([2, 1], [1, 2]), ids: int64([1], [1]) },
    );
    expect([...inside.rows.data]).toEqual([2]);
  });

  test("for a provider that this machine has not got says so; none takes its place", async ({
    skip,
  }) => {
    const engine = createNodeEngine({ provider: "cuda" });
    const opened = engine.open(doubled, noParameters);
    const isThere = await opened.then(
      () => true,
      () => false,
    );
    if (isThere) {
      await engine.close();
      skip("this machine has CUDA");
    }
    await expect(opened).rejects.toThrow(ProviderUnavailableError);
    await expect(opened).rejects.toThrow(/provider "cuda" .*choose another provider/s);
    await engine.close();
  });

  test("for a provider that Node never has, or for no thread, is refused at once", () => {
    expect(() => createNodeEngine({ provider: "wasm" })).toThrow(OptionsError);
    expect(() => createNodeEngine({ provider: "wasm" })).toThrow(/one of cpu, webgpu, cuda/);
    for (const threads of [0, -1, 1.5, Number.NaN]) {
      expect(() => createNodeEngine({ threads })).toThrow(OptionsError);
    }
  });

  test("beside another one computes the same and leaves the calling thread free", async () => {
    const side = 700;
    const x = input("x", "float32", [side, side]);
    let y: Tensor = x;
    for (let step = 0; step < 12; step += 1) y = matmul(y, x, { alpha: 0.05 });
    const graph = createGraph("heavy", { y });
    const feeds = { x: randomTensors(1)([side, side]) };
    const engines: Engine[] = [createNodeEngine({ threads: 1 }), createNodeEngine({ threads: 1 })];
    const sessions = await Promise.all(engines.map((engine) => engine.open(graph, noParameters)));
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 2);
    const started = performance.now();
    const results = await Promise.all(sessions.map((session) => session.run(feeds)));
    const elapsedMs = performance.now() - started;
    clearInterval(timer);
    expect(results[0].y.data).toEqual(results[1].y.data);
    // A blocked thread would tick at most once or twice, however long the work takes.
    expect(elapsedMs).toBeGreaterThan(20);
    expect(ticks).toBeGreaterThan(4);
    await Promise.all(engines.map((engine) => engine.close()));
  });
});

describe("memory that stays in the engine", () => {
  test("is copied in blocks with strides, and read back", async () => {
    const engine = runner.engine();
    const [x, y] = [input("x", "float32", ["N"]), input("y", "float32", ["N"])];
    const session = await engine.open(createGraph("sum", { sum: add(x, y) }), noParameters);
    const small = await engine.allocate("float32", [6]);
    const large = await engine.allocate("float32", [10]);
    expect([...(await engine.read(small)).data]).toEqual([0, 0, 0, 0, 0, 0]);
    await session.run(
      { x: float32([6], [1, 2, 3, 4, 5, 6]), y: float32([6], [0, 0, 0, 0, 0, 0]) },
      { fetch: [], into: { sum: small } },
    );
    const layout = { numBlocks: 2, blockElements: 3, fromStride: 3, toStride: 5 };
    await engine.copy(small, large, layout);
    expect([...(await engine.read(large)).data]).toEqual([1, 2, 3, 0, 0, 4, 5, 6, 0, 0]);
    // Feeding and fetching the same memory updates it.
    await session.run({ x: small, y: small }, { fetch: [], into: { sum: small } });
    expect([...(await engine.read(small)).data]).toEqual([2, 4, 6, 8, 10, 12]);
    await session.close();
  });

  test("takes up blocks of an output, which are then not brought back", async () => {
    const engine = runner.engine();
    const [x, y] = [input("x", "float32", ["N"]), input("y", "float32", ["N"])];
    const session = await engine.open(createGraph("sum", { sum: add(x, y) }), noParameters);
    const feeds = { x: float32([6], [1, 2, 3, 4, 5, 6]), y: float32([6], [0, 0, 0, 0, 0, 0]) };
    const to = await engine.allocate("float32", [10]);
    const layout = { numBlocks: 2, blockElements: 2, fromStride: 3, toStride: 5 };
    const placement = { output: "sum", fromElement: 1, to, toElement: 2, layout };
    expect(await session.run(feeds, { place: [placement] })).toEqual({});
    expect([...(await engine.read(to)).data]).toEqual([0, 0, 2, 3, 0, 0, 0, 5, 6, 0]);
    // Asked for by name it comes back as well.
    const both = await session.run(feeds, { fetch: ["sum"], place: [placement] });
    expect([...both.sum.data]).toEqual([1, 2, 3, 4, 5, 6]);

    for (const change of [
      { fromElement: 2 }, // one past the output's end
      { toElement: 4 }, // one past the memory's end
      { fromElement: -1 },
      { toElement: -1 },
      { to: await engine.allocate("int32", [10]) },
    ]) {
      const place = [{ ...placement, ...change }];
      await expect(session.run(feeds, { place })).rejects.toThrow(ShapeError);
    }
    await expect(session.run(feeds, { place: [{ ...placement, output: "none" }] })).rejects.toThrow(
      /has no output "none"/,
    );
    await session.close();
  });
});
