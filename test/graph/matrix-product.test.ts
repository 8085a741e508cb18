import fc from "fast-check";
import * as onnxRuntime from "onnxruntime-node";
import { afterAll, describe, expect, it } from "vitest";
import { EngineHost, type OnnxRuntime } from "../../src/graph/engine-host.js";
import {
  createGraph,
  inMemoryParameters,
  input,
  lowerGraph,
  matmul,
} from "../../src/graph/index.js";
import { float32 } from "../../src/tensor-data.js";
import { expectClose } from "../support/reference-tensors.js";

const host = new EngineHost(onnxRuntime as unknown as OnnxRuntime);
afterAll(() => host.closeAll());

/** The batches of both sides, each of its own rank; sides of 1 spread over the other's. */
const batches = fc.constantFrom<[number[], number[]]>(
  [[], []],
  [[3], [3]],
  [
    [2, 3],
    [2, 3],
  ],
  [
    [2, 3],
    [2, 1],
  ],
  [[2, 3], []],
  [[], [2]],
);
const cases = fc.record({
  batches,
  sides: fc.tuple(...[1, 2, 3].map(() => fc.integer({ min: 1, max: 5 }))),
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  alpha: fc.constantFrom(1, 0.5, -2),
});

describe("a product without the fused kernel", () => {
  it("equals the fused one, whatever is swapped and spread, and is written without it", async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ batches: [left, right], sides, ...attributes }) => {
        const [rows, inner, columns] = sides;
        const shapeA = [...left, ...(attributes.transposeA ? [inner, rows] : [rows, inner])];
        const shapeB = [...right, ...(attributes.transposeB ? [columns, inner] : [inner, columns])];
        const count = (shape: number[]) => shape.reduce((product, side) => product * side, 1);
        const ramp = (shape: number[], step: number) =>
          float32(
            shape,
            Array.from({ length: count(shape) }, (_, index) => Math.sin(step * index)),
          );
        const a = input("a", "float32", shapeA);
        const b = input("b", "float32", shapeB);
        const graph = createGraph("product", { y: matmul(a, b, attributes) });
        const [fused, separate] = [true, false].map((hasFusedMatMul) =>
          lowerGraph(graph, inMemoryParameters(new Map()), { hasFusedMatMul }),
        );
        const names = (model: Uint8Array) => new TextDecoder("latin1").decode(model);
        expect(names(fused)).toContain("FusedMatMul");
        expect(names(separate)).not.toContain("FusedMatMul");

        const results = [];
        for (const model of [fused, separate]) {
          const sessionId = await host.open({ model, provider: "cpu", threads: 1, files: [] });
          const feeds = { a: ramp(shapeA, 1.3), b: ramp(shapeB, 0.7) };
          results.push((await host.run({ sessionId, feeds, fetch: ["y"], into: {} })).y);
          await host.close(sessionId);
        }
        expectClose(results[1], results[0]);
      }),
      { numRuns: 40 },
    );
  });
});
