import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ConversationSample } from "../../src/data/conversation-sample.js";
import { createReadReport } from "../../src/data/read-report.js";
import type { SampleReader } from "../../src/data/sample-reader.js";
import { DatasetError, LimitError, OptionsError, RecipeError } from "../../src/errors.js";
import { createGraph } from "../../src/graph/index.js";
import { locateForEngine } from "../../src/load/located-tensors.node.js";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { locateParameters } from "../../src/load/parameter-source.js";
import { readTokenizer, resolveModel } from "../../src/load/resolved-model.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import type { LlavaUhdConfig } from "../../src/systems/llava-uhd-config.js";
import { type PackedRows, packedLength, totalWeight } from "../../src/systems/packed-batch.js";
import { createPackedForward, packedShapeOf } from "../../src/systems/packed-batch-forward.js";
import type { TensorData } from "../../src/tensor-data.js";
import { llavaTemplates } from "../../src/text/llava-templates.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { createPackedBatches, type PackedBatchesOptions } from "../../src/train/packed-batches.js";
import { parseRecipe } from "../../src/train/recipe.js";
import { openStartingModel } from "../../src/train/starting-model.node.js";
import { openVisionLanguageStages } from "../../src/train/vision-language-stages.node.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";
import { randomImage } from "../support/tiny-models.js";

const runner = useEngine();
let root = "";
let folder = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-packed-"));
  folder = join(root, "model");
  await writeNewModel(folder, "tiny-llava-uhd", 3);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const open = async () => {
  const opened = await openModelFolder(folder, { offline: true });
  const { system, processor, tensors } = await resolveModel(opened, async () => opened);
  const found = await locateForEngine(tensors);
  const source = locateParameters(system.params, found, createRenameTable(system.names));
  const config = system.config as LlavaUhdConfig;
  return { config, processor, source, tokenizer: await readTokenizer(opened) };
};

/** Conversations: sample i has i % 3 images and answers of different lengths. */
const samples: ConversationSample[] = Array.from({ length: 9 }, (_, index) => {
  const numImages = index % 3;
  const image = { type: "image" } as const;
  return {
    id: String(index),
    messages: [
      {
        role: "user",
        content: [...new Array(numImages).fill(image), { type: "text", text: `what ${index}` }],
      },
      { role: "assistant", content: "yes ".repeat(1 + index) },
      { role: "user", content: "more" },
      { role: "assistant", content: `no ${index}` },
    ],
    media: Array.from({ length: numImages }, (_, at) => ({
      type: "image" as const,
      render: async () => randomImage(60 + 70 * at + index, 80, index),
    })),
    source: { file: "samples.json", line: index + 1 },
  };
});

const readerOf = (records: readonly ConversationSample[]): SampleReader => ({
  length: records.length,
  name: "samples.json",
  fingerprint: "test",
  read: async (index) => ({ sample: records[index] }),
  close: async () => {},
});

const batchesOf = async (changes: Partial<PackedBatchesOptions> = {}) => {
  const { config, processor, tokenizer } = await open();
  if (!("downsampleMode" in processor)) throw new Error("the preset's processor cuts slices");
  const reader = readerOf(samples);
  return createPackedBatches({
    reader,
    report: createReadReport({ numRecords: reader.length }),
    labels: { tokenizer, template: llavaTemplates.qwen3 },
    config,
    processor,
    loadImage: (medium) => ("render" in medium ? medium.render() : Promise.reject(medium)),
    numRows: 1,
    rowLength: 600,
    weighting: "token",
    seed: 4,
    ...changes,
  });
};

/** Scores at the judged places and loss of a batch. */
const run = async (batch: PackedRows, length: number) => {
  const { config, source } = await open();
  const { forward } = createPackedForward(config);
  const { scores, judged, feeds } = forward(packedShapeOf(batch, length, config));
  const graph = createGraph("packed", { scores, loss: nextTokenLoss(scores, judged) });
  const session = await runner.engine().open(graph, source);
  const results = await session.run(feeds(batch));
  await session.close();
  return { scores: results.scores, loss: Number(results.loss.data[0]) };
};

const rowsOf = ({ data, shape }: TensorData, from: number, count: number) => {
  const width = shape[1];
  const part = data.subarray(from * width, (from + count) * width) as Float32Array;
  return { shape: [count, width], data: Array.from(part) };
};

describe("samples packed into a row", () => {
  test("are scored as each alone: no attention crosses a sample", async () => {
    const batch = await (await batchesOf()).next();
    const [row] = batch.rows;
    expect(row.length).toBeGreaterThan(2);
    expect(row.some(({ strips }) => strips.length === 2)).toBe(true);
    const { scores } = await run(batch, 600);
    let start = 0;
    for (const sample of row) {
      const length = packedLength(sample);
      const alone = await run({ ...batch, rows: [[sample]] }, length);
      const [numJudged] = alone.scores.shape;
      expect(numJudged).toBe(sample.labels.filter((label) => label >= 0).length);
      expectClose(alone.scores, rowsOf(scores, start, numJudged), 2e-5);
      start += numJudged;
    }
    expect(start).toBe(scores.shape[0]);
  });

  test.each(["token", "square-root"] as const)(
    "have the mean of their own losses, weighted by %s",
    async (weighting) => {
      const batch = await (await batchesOf({ weighting })).next();
      const { loss } = await run(batch, 600);
      let [sum, total] = [0, 0];
      for (const sample of batch.rows[0]) {
        const own = { ...batch, rows: [[sample]] };
        const weight = totalWeight(own);
        const supervised = sample.labels.slice(1).filter((label) => label >= 0).length;
        expect(weight).toBeCloseTo(weighting === "token" ? supervised : Math.sqrt(supervised), 6);
        sum += weight * (await run(own, packedLength(sample))).loss;
        total += weight;
      }
      expect(loss).toBeCloseTo(sum / total, 4);
      expect(totalWeight(batch)).toBeCloseTo(total, 6);
    },
  );

  test("supervise every answer of a conversation and its end, not the empty thought", async () => {
    const { tokenizer } = await open();
    const batch = await (await batchesOf()).next();
    for (const { ids, labels } of batch.rows[0]) {
      const text = tokenizer.decode(labels.filter((label) => label >= 0));
      expect(text).toMatch(/^(yes ?)+<\|im_end\|>\nno \d<\|im_end\|>\n$/);
      expect(labels.every((label, place) => label === -100 || label === ids[place])).toBe(true);
    }
  });

  test("never exceed the row; longer ones are refused by name", async () => {
    const { next } = await batchesOf({ rowLength: 400, numRows: 2 });
    for (let count = 0; count < 4; count += 1) {
      const { rows } = await next();
      expect(rows).toHaveLength(2);
      for (const row of rows) {
        expect(row.reduce((sum, sample) => sum + packedLength(sample), 0)).toBeLessThanOrEqual(400);
      }
    }
    const reader = readerOf(samples);
    const report = createReadReport({ numRecords: reader.length });
    await (await batchesOf({ rowLength: 100, report })).next();
    expect(report.numBad).toBeGreaterThan(0);
    expect(report.badRecords[0].message).toContain("samples.json:");
    const tooShort = await batchesOf({ rowLength: 20 });
    await expect(tooShort.next()).rejects.toThrow(DatasetError);
  });

  test("a place that was written down continues with the same rows", async () => {
    const source = await batchesOf({ rowLength: 300 });
    await source.next();
    const state = JSON.parse(JSON.stringify(source.state()));
    const idsOf = ({ rows, sources }: PackedRows & { readonly sources: readonly string[] }) => ({
      sources,
      ids: rows.map((row) => row.map(({ ids }) => ids)),
    });
    const expected = [idsOf(await source.next()), idsOf(await source.next())];
    const other = await batchesOf({ rowLength: 300 });
    other.restore(state);
    expect([idsOf(await other.next()), idsOf(await other.next())]).toEqual(expected);
    expect(() => other.restore({ order: 3 })).toThrow(OptionsError);
  });

  test("a row that is laid out in too few places is a typed error", async () => {
    const batch = await (await batchesOf()).next();
    await expect(run(batch, 40)).rejects.toThrow(LimitError);
  });

  test("fewer slices make fewer views", async () => {
    const views = async (maxSlices: number) => {
      const { rows } = await (await batchesOf({ slicing: { maxSlices } })).next();
      return Math.max(
        ...rows.flat().flatMap(({ strips }) => strips.map(({ grids }) => grids.length)),
      );
    };
    expect(await views(1)).toBe(1);
    expect(await views(9)).toBeGreaterThan(1);
  });
});

const recipeText = (stage: string): string => `
name: small
model:
  from: ./model
  initialise:
    - { parameters: ["compressor.**"], with: layer-before }
seed: 1
stages:
${stage}`;

describe("stages", () => {
  const stage = `
  - name: alignment
    train: ["merger.**", "compressor.**", "vision.positions"]
    groups:
      - { name: all, parameters: ["**"], learningRate: 1.0e-2 }
    data:
      train: [{ path: ./samples.json, format: llava }]
      maxLength: 300
      lossWeighting: square-root
    batchSize: 1
    accumulation: 2
    gradientCheckpointing: true
    steps: 2
    schedule: { kind: constant }
`;

  test("learn, leave the rest alone, and begin with the compressor as the layer before it", async () => {
    const { width, height, data } = randomImage(130, 80);
    const raw = { width, height, channels: 3 as const };
    await sharp(data, { raw }).png().toFile(join(root, "image.png"));
    const records = [1, 2, 3].map((id) => ({
      id,
      image: "image.png",
      conversations: [
        { from: "human", value: `<image>\nwhat ${id}` },
        { from: "gpt", value: "yes" },
      ],
    }));
    await writeFile(join(root, "samples.json"), JSON.stringify(records));
    const recipe = parseRecipe(recipeText(stage), "small.yaml");
    const stages = await openVisionLanguageStages({ recipe, baseFolder: root });
    const fc1 = await stages.model.read("vision.layers.0.mlp.up.weight");
    const up = await stages.model.read("compressor.merging.up.weight");
    const [rows, columns] = fc1.shape;
    expect(up.shape).toEqual([4 * rows, 4 * columns]);
    expect(up.data.slice(0, columns)).toEqual(fc1.data.slice(0, columns));
    expect(up.data.slice(columns, 4 * columns).every((value) => value === 0)).toBe(true);

    const described = await stages.describe(recipe.stages[0]);
    expect(described.steps[0].tokens).toBe(300);
    const opened = await stages.openStage(runner.engine())(recipe.stages[0], {
      tensors: new Map(),
      stepsTaken: 0,
    });
    try {
      expect(opened.batchesPerEpoch).toBeUndefined();
      const names = opened.trainable.groups.flatMap(({ parameters }) => parameters);
      expect(names.every(({ name }) => !name.startsWith("language."))).toBe(true);
      const batch = await opened.data.next();
      const { loss } = await opened.trainable.evaluate(batch);
      await opened.trainable.accumulate?.(batch);
      const step = await opened.trainable.step(batch, { all: 1e-2 });
      expect(step.loss).toBeCloseTo(loss, 5);
      expect(step.gradientNorm).toBeGreaterThan(0);
      expect((await opened.trainable.evaluate(batch)).loss).toBeLessThan(loss);
    } finally {
      await opened.close();
    }
  });

  test("that ask for what the model does not have are refused", async () => {
    const recipe = parseRecipe(
      recipeText(stage).replace('"compressor.**"], with', '"merger.**"], with'),
      "small.yaml",
    );
    await expect(openStartingModel(recipe, folder)).rejects.toThrow(RecipeError);
  });

  test("another connector over the same weights: what it lacks is dropped by name", async () => {
    const changed = recipeText(stage).replace(
      "  initialise:\n",
      `  config: { insert_layer_id: null, compressor_type: average-pool }
  drop: ["vit_merger.**"]
  initialise: []
  ignored:
`,
    );
    const text =
      changed.slice(0, changed.indexOf("  ignored:")) + changed.slice(changed.indexOf("seed:"));
    const recipe = parseRecipe(text, "small.yaml");
    const model = await openStartingModel(recipe, folder);
    expect([...model.parameters.keys()].some((name) => name.startsWith("compressor."))).toBe(false);
    const saved = join(root, "saved");
    await model.save(saved, new Map(), "");
    const again = await openModelFolder(saved, { offline: true });
    expect([...again.tensors.keys()].some((name) => name.startsWith("vit_merger."))).toBe(false);
    const { system } = await resolveModel(again, async () => again);
    expect([...listParameters(system.params)]).toHaveLength(again.tensors.size);
  });
});
