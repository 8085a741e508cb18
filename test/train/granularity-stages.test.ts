/** AVG-LLaVA's stages 3 and 4 over tiny models: what trains, what does not, and that it learns. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OptionsError, PromptError } from "../../src/errors.js";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { createGraph, type Engine } from "../../src/graph/index.js";
import { nextPinpoints } from "../../src/image/anyres.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { planViews } from "../../src/image/image-mode.js";
import { isAvgLlava, mostViews } from "../../src/systems/image-layouts.js";
import type { LabelledBatch } from "../../src/systems/labelled-batch.js";
import { float32 } from "../../src/tensor-data.js";
import { parseRecipe } from "../../src/train/recipe.js";
import { createObjective, type ObjectiveName } from "../../src/train/stage-objective.js";
import { createVisionLanguageTrainable } from "../../src/train/vision-language-trainable.js";
import { randomTensors } from "../support/graph-runner.js";
import { viewPx } from "../support/tiny-models.js";
import { tinyBatch, tinyTraining } from "../support/tiny-training.js";

let engine: Engine;
beforeAll(() => {
  engine = createNodeEngine({ threads: 1 });
});
afterAll(() => engine.close());

const tiny = tinyTraining("avg");
const { config, values, frozen, names } = tiny;
const sizes = [
  [60, 40],
  [30, 90],
  [50, 50],
] as const;

/** Images of different sizes, filled up with black views that nothing may look at. */
const tiledBatch = (seed = 1, changes: Partial<LabelledBatch> = {}): LabelledBatch => {
  const views = mostViews(config);
  const perImage = views * 3 * viewPx * viewPx;
  const pixels = new Float32Array(sizes.length * perImage);
  const plans = sizes.map(([width, height], sample) => {
    const mode = { aspect: "anyres", pinpoints: nextPinpoints(viewPx) } as const;
    const plan = planViews({ width, height }, clipConfig(viewPx), mode);
    const own = randomTensors(seed + sample)([plan.views.length, 3, viewPx, viewPx]);
    pixels.set(own.data, sample * perImage);
    return plan;
  });
  return {
    ...tinyBatch(sizes.length, 9, { seed }),
    pixels: float32([sizes.length, views, 3, viewPx, viewPx], pixels),
    plans,
    ...changes,
  };
};

const trainableOf = async (
  objective: ObjectiveName,
  trained: readonly string[],
  from: typeof tiny = tiny,
) =>
  createVisionLanguageTrainable(engine, from.config, {
    groups: [{ name: "all", parameters: trained }],
    state: new Map(trained.map((name) => [name, from.values.get(name) ?? float32([0], [])])),
    frozen: from.frozen,
    objective,
  });

const routerNames = names.filter((name) => name.startsWith("router."));
const otherNames = names.filter((name) => !name.startsWith("router."));

describe("stage 3, the loss over all granularities", () => {
  test("is the mean of the losses at each granularity", async () => {
    const { open } = createObjective(config, { objective: "every-granularity" });
    const shape = { batch: 3, textLength: 9, hasImages: true };
    const pass = open(shape);
    const graph = createGraph("every", { loss: pass.loss, ...pass.parts });
    const session = await engine.open(graph, frozen);
    const results = await session.run(pass.feeds(tiledBatch()));
    await session.close();
    const means = [0, 1, 2, 3, 4].map((index) => Number(results[`mean.${index}`].data[0]));
    const mean = means.reduce((sum, value) => sum + value, 0) / 5;
    expect(Number(results.loss.data[0])).toBeCloseTo(mean, 5);
    expect(new Set(means).size).toBe(5);

    // The finest of them is what training on all tokens minimises, and what LLaVA-NeXT is.
    for (const same of [config, tinyTraining("llava-next").config]) {
      const finest = createObjective(same).open(shape);
      const other = await engine.open(createGraph("finest", { loss: finest.loss }), frozen);
      const { loss } = await other.run(finest.feeds(tiledBatch()));
      await other.close();
      expect(Number(loss.data[0])).toBeCloseTo(means[4], 5);
    }
    const { plans: _, ...unplanned } = tiledBatch();
    expect(() => pass.feeds(unplanned)).toThrow(PromptError);
  });

  test("runs the encoder once for all of them", () => {
    const countTowers = (objective: ObjectiveName): number => {
      const { open } = createObjective(config, { objective });
      const { loss } = open({ batch: 1, textLength: 9, hasImages: true });
      const { operations } = createGraph("loss", { loss });
      const isPatches = ({ source }: { source: { kind: string; name?: string } }) =>
        source.kind === "parameter" && source.name === "vision.layers.0.attention.query.weight";
      return operations.filter(({ inputs }) => inputs.some(isPatches)).length;
    };
    expect(countTowers("every-granularity")).toBe(1);
    expect(countTowers("granularity-ranking")).toBe(1);
  });

  test("does not depend on how samples are batched, nor on views that are not there", async () => {
    const trainable = await trainableOf("every-granularity", ["projector.layers.0.weight"]);
    const batch = tiledBatch();
    const whole = await trainable.evaluate(batch);
    let [weighted, tokens] = [0, 0];
    for (const sample of [0, 1, 2]) {
      const { pixels } = batch;
      const perImage = (pixels?.data.length ?? 0) / 3;
      const noisy = pixels?.data.slice(sample * perImage, (sample + 1) * perImage);
      const used = (batch.plans?.[sample].views.length ?? 0) * 3 * viewPx * viewPx;
      noisy?.fill(7, used);
      const one = await trainable.evaluate({
        ids: [batch.ids[sample]],
        labels: [batch.labels[sample]],
        isPadding: [batch.isPadding[sample]],
        pixels: float32([1, ...(pixels?.shape.slice(1) ?? [])], noisy ?? []),
        plans: batch.plans?.slice(sample, sample + 1),
      });
      weighted += one.loss * one.tokens;
      tokens += one.tokens;
    }
    expect(whole.tokens).toBe(tokens);
    expect(whole.loss).toBeCloseTo(weighted / tokens, 4);
    await trainable.close();
  });

  test("trains everything but the router, the encoder too, and learns", async () => {
    const trainable = await trainableOf("every-granularity", otherNames);
    const batch = tiledBatch(4);
    const losses: number[] = [];
    for (let step = 0; step < 12; step += 1) {
      losses.push((await trainable.step(batch, { all: 3e-3 })).loss);
    }
    expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]);
    const state = await trainable.state();
    const tower = "vision.layers.0.attention.query.weight";
    expect(state.get(tower)?.data).not.toEqual(values.get(tower)?.data);
    await trainable.close();
  });

  test("of text is the ordinary loss, and leaves vision as it is", async () => {
    const trained = ["projector.layers.0.weight", "language.norm.weight"];
    const trainable = await trainableOf("every-granularity", trained);
    const text = tinyBatch(2, 8, { hasImages: false });
    const { loss } = await trainable.evaluate(text);
    const ordinary = await trainableOf("next-token", trained);
    expect((await ordinary.evaluate(text)).loss).toBeCloseTo(loss, 6);
    await trainable.step(text, { all: 1e-2 });
    const state = await trainable.state();
    expect(state.get(trained[0])?.data).toEqual(values.get(trained[0])?.data);
    expect(state.get(trained[1])?.data).not.toEqual(values.get(trained[1])?.data);
    await trainable.close();
    await ordinary.close();
  });
});

describe("stage 4, the router from the model's own feedback", () => {
  test("holds the coarsest granularity for the best where tokens cost enough", async () => {
    const shape = { batch: 3, textLength: 9, hasImages: true };
    const crossEntropyAt = async (tokenPrice: number) => {
      const objective = "granularity-ranking";
      const pass = createObjective(config, { objective, ranking: { tokenPrice } }).open(shape);
      const session = await engine.open(createGraph("priced", pass.parts), frozen);
      const { logits, crossEntropy } = await session.run(pass.feeds(tiledBatch(5)));
      await session.close();
      const rows = [0, 1, 2].map((row) =>
        Array.from(logits.data.slice(5 * row, 5 * row + 5), Number),
      );
      const ofCoarsest = rows.map(
        (row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0)) - row[0],
      );
      return {
        value: Number(crossEntropy.data[0]),
        ofCoarsest: ofCoarsest.reduce((sum, value) => sum + value, 0) / 3,
      };
    };
    const dear = await crossEntropyAt(1000);
    expect(dear.value).toBeCloseTo(dear.ofCoarsest, 4);
    const free = await crossEntropyAt(0);
    expect(free.value).not.toBeCloseTo(free.ofCoarsest, 2);
  });

  test("learns the order in which the model likes the granularities", async () => {
    const trainable = await trainableOf("granularity-ranking", routerNames);
    const batch = tiledBatch(5);
    const first = await trainable.evaluate(batch);
    expect(first.tokens).toBe(3);
    let last = first.loss;
    for (let step = 0; step < 25; step += 1) {
      last = (await trainable.step(batch, { all: 5e-3 })).loss;
    }
    expect(last).toBeLessThan(first.loss);

    // Its first choice is then the granularity with the smallest loss.
    const state = await trainable.state();
    const pass = createObjective(config, {
      objective: "granularity-ranking",
      isFed: (name) => routerNames.includes(name),
    }).open({ batch: 3, textLength: 9, hasImages: true });
    const { logits, losses } = pass.parts;
    const session = await engine.open(createGraph("ranked", { logits, losses }), frozen);
    const results = await session.run({
      ...pass.feeds(batch),
      ...Object.fromEntries(routerNames.map((name) => [name, state.get(name) ?? float32([0], [])])),
    });
    await session.close();
    await trainable.close();
    for (const sample of [0, 1, 2]) {
      const row = (name: string) =>
        Array.from(results[name].data.slice(5 * sample, 5 * (sample + 1)), Number);
      const best = row("losses").indexOf(Math.min(...row("losses")));
      expect(row("logits").indexOf(Math.max(...row("logits")))).toBe(best);
    }
  });

  test("does not count samples without an answer, and takes no step of them alone", async () => {
    const trainable = await trainableOf("granularity-ranking", routerNames);
    const batch = tiledBatch(6);
    const unanswered = batch.labels.map((row) => row.map(() => -100));
    const partly = { ...batch, labels: [batch.labels[0], unanswered[1], batch.labels[2]] };
    const counted = await trainable.evaluate(partly);
    expect(counted.tokens).toBe(2);
    expect(Number.isFinite(counted.loss)).toBe(true);

    const before = await trainable.state();
    const result = await trainable.step({ ...batch, labels: unanswered }, { all: 1e-2 });
    expect(result).toMatchObject({ loss: 0, gradientNorm: 0, tokens: 0 });
    const after = await trainable.state();
    for (const name of routerNames) expect(after.get(name)?.data).toEqual(before.get(name)?.data);
    await trainable.close();
  });

  test("has nothing to learn from text", async () => {
    const trainable = await trainableOf("granularity-ranking", routerNames);
    const text = tinyBatch(2, 8, { hasImages: false });
    const result = await trainable.step(text, { all: 1e-2 });
    expect(result).toMatchObject({ loss: 0, gradientNorm: 0, tokens: 0 });
    expect(await trainable.evaluate(text)).toEqual({ loss: 0, tokens: 0 });
    // Beside a batch with images it weighs nothing.
    const image = tiledBatch(8);
    await trainable.accumulate?.(text);
    const mixed = await trainable.step(image, { all: 0 });
    const alone = await trainable.step(image, { all: 0 });
    expect(mixed.gradientNorm / alone.gradientNorm).toBeCloseTo(1, 5);
    const state = await trainable.state();
    for (const name of routerNames) expect(state.get(name)?.data).toEqual(values.get(name)?.data);
    await trainable.close();
  });

  test("trains nothing beside the router, and needs one", async () => {
    await expect(
      trainableOf("granularity-ranking", [...routerNames, "projector.layers.0.weight"]),
    ).rejects.toThrow('trains the router alone, got "projector.layers.0.weight"');
    await expect(
      trainableOf("granularity-ranking", ["projector.layers.0.weight"], tinyTraining("avg-stage3")),
    ).rejects.toThrow(OptionsError);
    for (const objective of ["every-granularity", "granularity-ranking"] as const) {
      const { config: plain } = tinyTraining("llava-next");
      expect(() => createObjective(plain, { objective })).toThrow("vis_token_granularity");
    }
  });

  test("takes its weights from the model's config where a recipe is silent", () => {
    expect(isAvgLlava(config) && config.ranking).toEqual({
      margin: 0.1,
      rankWeight: 1,
      crossEntropyWeight: 1,
    });
  });
});

describe("a recipe", () => {
  const recipe = (stage: string) =>
    parseRecipe(
      `
name: tiny
model: { from: nowhere }
stages:
  - name: one
    train: ["router.**"]
    groups: [{ name: all, parameters: ["**"], learningRate: 1e-3 }]
    data: { train: [{ path: none, format: llava }], maxLength: 12 }
    batchSize: 4
    steps: 3
    schedule: { kind: constant }
    ${stage}
`,
      "tiny.yaml",
    );

  test("names its objective, and the ranking's weights with it only", () => {
    expect(recipe("").stages[0].objective).toBe("next-token");
    const ranked = recipe(
      "objective: granularity-ranking\n    ranking: { form: paper, margin: 1 }",
    );
    expect(ranked.stages[0].ranking).toEqual({ form: "paper", margin: 1 });
    expect(() => recipe("ranking: { margin: 1 }")).toThrow("ranking belongs to");
    expect(() => recipe("objective: granularity")).toThrow();
  });
});
