import fc from "fast-check";
import { expect, test } from "vitest";
import { float32 } from "../../src/tensor-data.js";
import { packPatches } from "../../src/vision/pack-patches.js";
import { parseSiglipConfig } from "../../src/vision/siglip.js";
import { maxPatchesOfRun, planRuns, splitStrip } from "../../src/vision/split-strip.js";
import { randomTensors } from "../support/graph-runner.js";

const sides = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  columns: fc.integer({ min: 1, max: 9 }),
});
const grids = fc.array(sides, { minLength: 1, maxLength: 12 });
const countPatches = (of: readonly { rows: number; columns: number }[]) =>
  of.reduce((sum, { rows, columns }) => sum + rows * columns, 0);

test("runs hold all views in order, and no more patches than they may unless it is one view", () => {
  fc.assert(
    fc.property(grids, fc.integer({ min: 1, max: 200 }), (views, most) => {
      const runs = planRuns(views, most);
      expect(runs.flat()).toEqual(views);
      for (const [at, run] of runs.entries()) {
        expect(run.length === 1 || countPatches(run) <= most).toBe(true);
        // Nothing is split that fits together.
        const next = runs[at + 1];
        if (next) expect(countPatches([...run, next[0]])).toBeGreaterThan(most);
      }
    }),
  );
});

test("ten views of 448x448 are five runs", () => {
  const views = Array.from({ length: 10 }, () => ({ rows: 32, columns: 32 }));
  expect(planRuns(views).map(({ length }) => length)).toEqual([2, 2, 2, 2, 2]);
  expect(maxPatchesOfRun).toBe(2048);
});

test("the patches of a strip and of its pieces are the same", () => {
  const tower = parseSiglipConfig({
    hidden_size: 8,
    intermediate_size: 8,
    num_hidden_layers: 1,
    num_attention_heads: 1,
    patch_size: 2,
    image_size: 20,
  });
  const random = randomTensors(5);
  fc.assert(
    fc.property(grids, fc.integer({ min: 1, max: 60 }), (views, most) => {
      const width = 2 * countPatches(views);
      const strip = {
        pixelValues: float32([1, 3, 2, width], random([1, 3, 2, width]).data),
        grids: views,
      };
      const pieces = splitStrip(strip, most);
      expect(pieces.map((piece) => piece.grids)).toEqual(planRuns(views, most));
      // Packing several strips joins them again.
      expect(packPatches(pieces, tower, 0)).toEqual(packPatches([strip], tower, 0));
    }),
    { numRuns: 50 },
  );
});
