import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointError, NonFiniteError, OptionsError } from "../../src/errors.js";
import type { Engine } from "../../src/graph/index.js";
import { openCheckpoints } from "../../src/train/checkpoint.node.js";
import type { Recipe } from "../../src/train/recipe.js";
import { type RunOptions, trainRun } from "../../src/train/run.js";
import { parseRunLog, type RunEvent, stepsOf } from "../../src/train/run-log.js";
import { logFile, openRunLog } from "../../src/train/run-log.node.js";
import type { StageStart } from "../../src/train/stage.js";
import { createTinyEngine, type TinyBatch, tinyRecipe, tinyStages } from "../support/tiny-run.js";

let engine: Engine;
let root: string;
beforeAll(async () => {
  engine = createTinyEngine();
  root = await mkdtemp(join(tmpdir(), "saccade-run-"));
});
afterAll(async () => {
  await engine.close();
  await rm(root, { recursive: true, force: true });
});

const run = async (
  name: string,
  recipe: Recipe,
  options: Partial<RunOptions<TinyBatch>> = {},
): Promise<Awaited<ReturnType<typeof trainRun>>> => {
  const folder = join(root, name);
  const log = await openRunLog(folder);
  try {
    const checkpoints = await openCheckpoints(join(folder, "checkpoints"));
    const openStage = tinyStages(engine, 7);
    return await trainRun({ recipe, openStage, log, checkpoints, ...options });
  } finally {
    await log.close();
  }
};

const historyOf = async (name: string) =>
  parseRunLog(await readFile(join(root, name, logFile), "utf8"));

/** Everything of a run that must not depend on when it was stopped. */
const curveOf = async (name: string) => {
  const history = await historyOf(name);
  const curve = history.events.flatMap((event) => {
    if (event.event === "step") {
      return [
        [event.step, event.stage, event.stageStep, event.loss, event.gradientNorm, event.rates],
      ];
    }
    return event.event === "validation" ? [[event.step, "validation", event.loss]] : [];
  });
  return { curve, brokenLines: history.brokenLines };
};

/** Aborts at the given step of the run. */
const stopAt = (step: number): Pick<RunOptions<TinyBatch>, "signal" | "onEvent"> => {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onEvent: (event) => {
      if (event.event === "step" && event.step === step) controller.abort();
    },
  };
};

describe("a training run", () => {
  it("goes through its stages, learns, validates and keeps the newest checkpoints", async () => {
    const events: RunEvent[] = [];
    const starts: StageStart[] = [];
    const recipe = tinyRecipe([10, 60]);
    const result = await run("whole", recipe, {
      openStage: tinyStages(engine, 7, { onOpen: (start) => starts.push(start) }),
      onEvent: (event) => events.push(event),
    });
    expect(result).toMatchObject({ isFinished: true, step: 70 });
    const steps = stepsOf(await historyOf("whole"));
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 70 }, (_, i) => i + 1));
    // ln 24 before anything is learned; only six of the tokens occur.
    expect(steps[0].loss).toBeGreaterThan(3);
    const end = steps.slice(-5).reduce((sum, { loss }) => sum + loss / 5, 0);
    expect(end).toBeLessThan(2);
    expect(steps.slice(0, 3).map(({ rates }) => rates.all)).toEqual([0, 5e-3, 1e-2]);
    expect(events.filter(({ event }) => event === "validation").map(({ step }) => step)).toEqual([
      5, 10,
    ]);
    expect(await readdir(join(root, "whole/checkpoints"))).toEqual([
      "step-0000000066",
      "step-0000000070",
    ]);
    // The second stage starts from what the first one trained, without its moments.
    expect([...starts[1].tensors.keys()].sort()).toEqual(["language.embedding", "language.head"]);
    // What only the first stage trained is part of the result and of the last checkpoint.
    const { checkpoint } = await (await openCheckpoints(join(root, "whole/checkpoints"))).newest();
    const embedding = starts[1].tensors.get("language.embedding");
    expect(result.parameters.get("language.embedding")).toEqual(embedding);
    expect(checkpoint?.tensors.get("language.embedding")).toEqual(embedding);
    expect(result.parameters.size).toBe(21);
  });

  it.each([1, 4, 9, 10, 13, 23])(
    "stopped at step %i and resumed, gives the same curve",
    async (step) => {
      const recipe = tinyRecipe([10, 14]);
      if (step === 1) await run("reference", recipe);
      const name = `stopped-${step}`;
      const stopped = await run(name, recipe, stopAt(step));
      expect(stopped).toMatchObject({ isFinished: false, step });
      const resumed = await run(name, recipe, { resume: true });
      expect(resumed).toMatchObject({ isFinished: true, step: 24 });
      expect(await curveOf(name)).toEqual(await curveOf("reference"));
    },
  );

  it("resumed before its first checkpoint, starts from the beginning", async () => {
    const recipe = tinyRecipe([3, 3]);
    await run("fresh", recipe, { resume: true });
    await run("started", recipe);
    expect(await curveOf("fresh")).toEqual(await curveOf("started"));
  });

  it("resumed when it is finished, changes nothing", async () => {
    const recipe = tinyRecipe([3, 3]);
    const first = await run("twice", recipe);
    const again = await run("twice", recipe, { resume: true });
    expect(again.step).toBe(6);
    expect(again.parameters).toEqual(first.parameters);
  });

  it("is not resumed with another recipe, and says what differs", async () => {
    await run("other", tinyRecipe([3, 3]));
    await expect(run("other", tinyRecipe([3, 4]), { resume: true })).rejects.toThrow(
      /stages\[1\]\.steps/,
    );
    await expect(run("other", tinyRecipe([3, 4]), { resume: true })).rejects.toThrow(
      CheckpointError,
    );
    // How often it saves is not part of what it computes.
    await expect(run("other", tinyRecipe([3, 3], 2), { resume: true })).resolves.toBeDefined();
  });

  it("stops at a loss that is not finite and says where", async () => {
    const openStage = tinyStages(engine, 7, {
      poison: { step: 0, parameter: "language.layers.1.mlp.up.weight" },
    });
    const failed = run("poisoned", tinyRecipe([3, 3]), { openStage });
    await expect(failed).rejects.toThrow(NonFiniteError);
    await expect(failed).rejects.toThrow(
      /NaN.* at step 1 \(stage "alignment"\) on sample 0, sample 1, sample 2, sample 3/,
    );
    const { events } = await historyOf("poisoned");
    expect(events.at(-1)).toMatchObject({ event: "non-finite", loss: "NaN", step: 1 });
    // Nothing of it was saved.
    expect(await readdir(join(root, "poisoned/checkpoints"))).toEqual([]);
  });

  it("names the first parameter that is not finite", async () => {
    const openStage = tinyStages(engine, 7, { poison: { step: 0, parameter: "language.head" } });
    await expect(run("poisoned-head", tinyRecipe([3, 3]), { openStage })).rejects.toThrow(
      /the first parameter that is not is "language\./,
    );
  });

  it("measures epochs in batches, and refuses them where the data has no length", async () => {
    const recipe = tinyRecipe([3, 3]);
    const { steps: _, ...stage } = recipe.stages[0];
    const epochs = { ...recipe, stages: [{ ...stage, epochs: 1.5 }] };
    await expect(run("endless", epochs)).rejects.toThrow(/epochs need data of a known length/);
    const openStage = tinyStages(engine, 7, { batchesPerEpoch: 3 });
    expect((await run("epochs", epochs, { openStage })).step).toBe(5);
  });

  it("refuses to accumulate where the step does not offer it", async () => {
    const recipe = tinyRecipe([3, 3]);
    const stages = recipe.stages.map((stage) => ({ ...stage, accumulation: 2 }));
    await expect(run("accumulate", { ...recipe, stages })).rejects.toThrow(OptionsError);
  });
});
