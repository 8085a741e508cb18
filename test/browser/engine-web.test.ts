import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BrowserSession, hasChromium, startChromium } from "../support/chromium-page.js";
import type { Library } from "./page.js";

let session: BrowserSession;
let isolated: Page;
let plain: Page;

beforeAll(async () => {
  if (!hasChromium) return;
  session = await startChromium({ webgpu: false });
  isolated = await session.openPage("isolated");
  plain = await session.openPage("plain");
}, 60_000);
afterAll(() => session?.close());

type EngineOptions = Parameters<Library["createWebEngine"]>[0];

/** Opens an engine and doubles [1, 2] with it; returns the result and the engine's threads. */
const double = (page: Page, options: EngineOptions) =>
  page.evaluate(async (settings) => {
    const { library } = globalThis as unknown as { library: Library };
    const { add, createGraph, input } = library.graph;
    const engine = library.createWebEngine(settings);
    try {
      const x = input("x", "float32", ["N"]);
      const graph = createGraph("double", { y: add(x, x) });
      const opened = await engine.open(graph, () => {
        throw new Error("no parameters");
      });
      const { y } = await opened.run({ x: library.float32([2], [1, 2]) });
      return { values: Array.from(y.data, Number), threads: engine.threads };
    } finally {
      await engine.close();
    }
  }, options);

describe.skipIf(!hasChromium)("providers of a browser engine", () => {
  it("WebGPU without an adapter is a ProviderUnavailableError, not another provider", async () => {
    await expect(double(isolated, { provider: "webgpu" })).rejects.toThrow(
      /ProviderUnavailableError: open: provider "webgpu" cannot be used here/,
    );
  });

  it.each(["cpu", "cuda", "constructor"])("%s is none of a browser's", async (provider) => {
    const options = { provider } as unknown as EngineOptions;
    await expect(double(isolated, options)).rejects.toThrow(
      `OptionsError: createWebEngine: provider must be one of wasm, webgpu, got "${provider}"`,
    );
  });

  it("runtime files that are not where they were said to be are named in the error", async () => {
    await expect(double(isolated, { provider: "wasm", wasmPaths: "../nowhere/" })).rejects.toThrow(
      /ProviderUnavailableError: .*nowhere/,
    );
  });

  it("runtime files are found where they are said to be", async () => {
    const { values } = await double(isolated, { provider: "wasm", wasmPaths: "../isolated/" });
    expect(values).toEqual([2, 4]);
  });
});

describe.skipIf(!hasChromium)("threads of a browser engine", () => {
  it("are those asked for on an isolated page", async () => {
    expect(await double(isolated, { provider: "wasm", threads: 2 })).toEqual({
      values: [2, 4],
      threads: 2,
    });
  });

  it("are one on a page that may not share memory", async () => {
    expect(await double(plain, { provider: "wasm" })).toEqual({ values: [2, 4], threads: 1 });
  });

  it("cannot be had by asking for them there", async () => {
    await expect(double(plain, { provider: "wasm", threads: 2 })).rejects.toThrow(
      /OptionsError: createWebEngine: threads must be 1 .*not cross-origin isolated, got 2; .*Cross-Origin-Opener-Policy/,
    );
  });

  it.each([0, 1.5, -1])("%s of them is refused", async (threads) => {
    await expect(double(isolated, { provider: "wasm", threads })).rejects.toThrow(/OptionsError/);
  });
});

describe.skipIf(!hasChromium)("a browser engine at work", () => {
  it("leaves the page free: timers fire while a matrix product is computed", async () => {
    const { runMs, ticks, longestMs } = await isolated.evaluate(async () => {
      const { library } = globalThis as unknown as { library: Library };
      const { createGraph, input, matmul } = library.graph;
      const engine = library.createWebEngine({ provider: "wasm", threads: 1 });
      const side = 1536;
      const x = input("x", "float32", [side, side]);
      let y = x;
      for (let step = 0; step < 4; step += 1) y = matmul(y, x);
      const opened = await engine.open(createGraph("power", { y }), () => {
        throw new Error("no parameters");
      });
      const feed = library.float32([side, side], new Float32Array(side * side));
      let ticks = 0;
      let longestMs = 0;
      let lastMs = performance.now();
      const timer = setInterval(() => {
        const nowMs = performance.now();
        longestMs = Math.max(longestMs, nowMs - lastMs);
        lastMs = nowMs;
        ticks += 1;
      }, 5);
      const startedMs = performance.now();
      await opened.run({ x: feed });
      const runMs = performance.now() - startedMs;
      clearInterval(timer);
      await engine.close();
      return { runMs, ticks, longestMs };
    });
    // A page that computes by itself fires no timer before the run ends.
    expect(runMs).toBeGreaterThan(100);
    expect(ticks).toBeGreaterThan(runMs / 50);
    expect(longestMs).toBeLessThan(runMs / 2);
  });

  it("answers in the order of the questions, and none after it was closed", async () => {
    const outcome = await isolated.evaluate(async () => {
      const { library } = globalThis as unknown as { library: Library };
      const { add, createGraph, input } = library.graph;
      const engine = library.createWebEngine({ provider: "wasm", threads: 1 });
      const x = input("x", "float32", ["N"]);
      const opened = await engine.open(createGraph("double", { y: add(x, x) }), () => {
        throw new Error("no parameters");
      });
      const order: number[] = [];
      const ask = async (value: number) => {
        const { y } = await opened.run({ x: library.float32([1], [value]) });
        order.push(Number(y.data[0]));
      };
      await Promise.all([1, 2, 3].map(ask));
      const waiting = engine.allocate("float32", [2]).then((memory) => engine.read(memory));
      const { data } = await waiting;
      await engine.close();
      const error = await ask(4).catch((cause: Error) => cause.name);
      return { order, data: Array.from(data, Number), error };
    });
    expect(outcome).toEqual({ order: [2, 4, 6], data: [0, 0], error: "SessionClosedError" });
  });

  it("writes outputs into memory that stays in the engine, also into the memory it read", async () => {
    const rows = await isolated.evaluate(async () => {
      const { library } = globalThis as unknown as { library: Library };
      const { add, createGraph, input, residentRows } = library.graph;
      const engine = library.createWebEngine({ provider: "wasm", threads: 1 });
      const [x, step] = [input("x", "float32", ["N", 2]), input("step", "float32", ["N", 2])];
      const opened = await engine.open(createGraph("count", { y: add(x, step) }), () => {
        throw new Error("no parameters");
      });
      const memory = await engine.allocate("float32", [3, 2]);
      const middle = residentRows(memory, 1, 2);
      const step1 = library.float32([1, 2], [1, 10]);
      for (let turn = 0; turn < 3; turn += 1) {
        await opened.run({ x: middle, step: step1 }, { into: { y: middle } });
      }
      const { data } = await engine.read(memory);
      await engine.close();
      return Array.from(data, Number);
    });
    expect(rows).toEqual([0, 0, 3, 30, 0, 0]);
  });

  it("names a weight file that it was not given", async () => {
    const message = await isolated.evaluate(async () => {
      const { library } = globalThis as unknown as { library: Library };
      const { add, createGraph, input, zeros } = library.graph;
      const engine = library.createWebEngine({ provider: "wasm", threads: 1 });
      const x = input("x", "float32", [2]);
      const offset = new library.ParameterScope().parameter("offset", [2], zeros);
      const graph = createGraph("shift", { y: add(x, offset) });
      const content = { location: "model.safetensors", byteOffset: 0, byteLength: 8 };
      const error = await engine
        .open(graph, () => ({ dtype: "float32", content }))
        .catch((cause: Error) => cause);
      await engine.close();
      return String(error);
    });
    expect(message).toMatch(/GraphError: open: .*"model.safetensors".*given no files/);
  });
});
