import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { placeResults } from "../../src/eval/study-document.js";
import { estimateArm, studyArms, studyRecipe } from "../../src/eval/uhd-study.js";
import { compareOrdering, renderStudy, type StudyResult } from "../../src/eval/uhd-study-report.js";
import { parseRunLog, stepsOf } from "../../src/train/run-log.js";
import { openStartingModel } from "../../src/train/starting-model.node.js";
import { smallUhd, writeSmallModel } from "../support/small-scenes.js";

let root = "";
let baseline = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-study-"));
  baseline = join(root, "baseline");
  await writeSmallModel(baseline, smallUhd, 5);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const arms = studyArms(smallUhd, 1);
const armOf = (name: string) => {
  const arm = arms.find((one) => one.name === name);
  if (arm === undefined) throw new Error(`no arm ${name}`);
  return arm;
};

describe("the study of LLaVA-UHD v4", () => {
  test("compares slices and the whole image, the paper's seven variants and every depth", () => {
    const names = (table: "encoding" | "variant" | "depth") =>
      arms.filter(({ tables }) => tables.includes(table)).map(({ name }) => name);
    expect(names("encoding")).toEqual(["slice", "global"]);
    expect(names("variant")).toHaveLength(8);
    expect(names("depth")).toEqual(["window-attention-reused-mlp", "depth-0"]);
  });

  test.each(arms.map(({ name }) => name))("%s begins from the baseline", async (name) => {
    const budget = { baseline, steps: 3, seed: 2, scenes: 5 };
    const { recipe } = studyRecipe(armOf(name), budget);
    const model = await openStartingModel(recipe, baseline, { offline: true });
    const start = await openStartingModel(studyRecipe(armOf("slice"), budget).recipe, baseline, {
      offline: true,
    });
    for (const part of ["language.embedding", "vision.layers.0.mlp.up.weight"]) {
      expect((await model.read(part)).data).toEqual((await start.read(part)).data);
    }
    const connector = [...model.parameters.keys()].filter((one) => one.startsWith("merger."));
    expect(connector).toHaveLength(name === "slice" || name === "global" ? 12 : 6);
  });

  test("counts 4 tokens a view, and fewer operations inside the encoder than after it", () => {
    const costs = new Map(arms.map((arm) => [arm.name, estimateArm(smallUhd, arm)]));
    const [slice, whole] = [costs.get("slice"), costs.get("global")];
    expect([slice?.visionTokens, slice?.views.length]).toEqual([20, 5]);
    expect([whole?.visionTokens, whole?.views]).toEqual([
      16,
      [{ width: 256, height: 256, patches: 256 }],
    ]);
    for (const [name, cost] of costs) {
      if (name === "slice" || name === "global") continue;
      expect(cost.visionTokens).toBe(20);
      expect(cost.flops.vision).toBeLessThanOrEqual(slice?.flops.vision ?? 0);
    }
    const depths = ["depth-0", "window-attention-reused-mlp"].map(
      (name) => costs.get(name)?.flops.vision ?? 0,
    );
    expect(depths[0]).toBeLessThan(depths[1]);
  });
});

const cost = { visionTokens: 20, flops: { vision: 3e6, compression: 1e6, projector: 5e5 } };
const result = (name: string, right: number, seed = 1): StudyResult => ({
  arm: armOf(name),
  seed,
  total: { right, count: 400 },
  visionTokens: 20,
  cost: cost as StudyResult["cost"],
  loss: 0.5,
});

describe("its report", () => {
  test("says which pairs the questions decide, within a table of the paper", () => {
    // 70.6 against 68.9; 70.6 against 69.6 and 70.7; 69.6 against 70.7. global stands in no table with variants.
    const results = [
      result("slice", 300),
      result("global", 200),
      result("average-pool", 305),
      result("window-attention-reused-mlp", 200),
    ];
    expect(compareOrdering(results)).toEqual({ pairs: 4, same: 1, opposite: 2 });
    const both = compareOrdering([result("slice", 220), result("global", 200)]);
    expect(both).toEqual({ pairs: 1, same: 0, opposite: 0 });
  });

  test("has a row for every arm and seed, with interval, tokens and operations", () => {
    const text = renderStudy(
      [result("slice", 200), result("slice", 210, 2), result("depth-0", 9)],
      {
        steps: 3,
        questions: 400,
        layer: 1,
      },
    );
    const rows = text.split("\n").filter((line) => line.startsWith("| slice"));
    // In the tables of encodings and of variants.
    expect(rows).toHaveLength(4);
    expect(rows[0]).toBe(
      "| slice | 1 | 200/400 | 50.0 | 45.1 to 54.9 | 0.500 | 20.0 | 4.5 | 70.6 |",
    );
    expect(text).toContain("| depth-0 | 1 | 9/400 | 2.3 |");
  });

  test("goes between the markers of a document", () => {
    const document = "a\n<!-- results -->\nold\n<!-- /results -->\nb\n";
    const placed = placeResults(document, "new");
    expect(placed).toBe("a\n<!-- results -->\nnew\n<!-- /results -->\nb\n");
    expect(placeResults(placed, "new")).toBe(placed);
    expect(() => placeResults("a", "new")).toThrow(RangeError);
  });

  test("reads losses of steps whose tokens are weighted", () => {
    const step = {
      time: "2026-01-01T00:00:00.000Z",
      event: "step",
      stage: "study",
      stageStep: 1,
      stageSteps: 1,
      loss: 2,
      gradientNorm: 1,
      rates: { all: 1e-3 },
      tokens: 61.6,
      stepMs: 1,
      dataMs: 0,
      step: 1,
    };
    expect(stepsOf(parseRunLog(`${JSON.stringify(step)}\n`))).toHaveLength(1);
  });
});
