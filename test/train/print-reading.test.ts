import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createReadReport } from "../../src/data/read-report.js";
import { DatasetError, OptionsError, RecipeError, ShapeError } from "../../src/errors.js";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { resolveModel } from "../../src/load/resolved-model.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import type { LlavaUhdConfig } from "../../src/systems/llava-uhd-config.js";
import { printFeeds, towerPrintFeeds } from "../../src/systems/print-reading.js";
import { llavaTemplates } from "../../src/text/llava-templates.js";
import { createPackedBatches } from "../../src/train/packed-batches.js";
import { parseRecipe } from "../../src/train/recipe.js";
import { openVisionLanguageStages } from "../../src/train/vision-language-stages.node.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { useEngine } from "../support/graph-runner.js";

const runner = useEngine();
let root = "";
let folder = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-print-"));
  folder = join(root, "model");
  await writeNewModel(folder, "tiny-llava-uhd", 3);
  await writeNewModel(join(root, "llava"), "tiny-llava", 3);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const recipeOf = (
  objective: string,
  train = '["vision.**", "printReader.patches.**"]',
  from = folder,
) =>
  parseRecipe(
    `name: print
model: { from: ${from} }
seed: 2
stages:
  - name: print
    objective: ${objective}
    train: ${train}
    groups: [{ name: all, parameters: ["**"], learningRate: 1.0e-3 }]
    data:
      train: [{ scenes: { count: 4, heightPx: 192, aspect: 1, kinds: [detail], contents: [cells] } }]
      template: plain
      maxLength: 600
    batchSize: 1
    steps: 2
    schedule: { kind: constant }
`,
    "print.yaml",
  );

const openStages = (recipe: ReturnType<typeof recipeOf>) =>
  openVisionLanguageStages({ recipe, baseFolder: root, offline: true });

const openStage = async (recipe: ReturnType<typeof recipeOf>) => {
  const stages = await openStages(recipe);
  const start = { tensors: new Map(), stepsTaken: 0 };
  return { stages, opened: await stages.openStage(runner.engine())(recipe.stages[0], start) };
};

describe("a tower that learns to read print", () => {
  test("learns from the labels at its places, and its reader is no part of the model", async () => {
    const { stages, opened } = await openStage(recipeOf("print"));
    try {
      const batch = await opened.data.next();
      const { loss, tokens } = await opened.trainable.evaluate(batch);
      // An untrained reader knows nothing: all 96 characters are alike to it.
      expect(loss).toBeGreaterThan(Math.log(96) - 1);
      expect(loss).toBeLessThan(Math.log(96) + 1);
      expect(tokens).toBeGreaterThan(10);
      for (let step = 0; step < 6; step += 1) await opened.trainable.step(batch, { all: 2e-3 });
      expect((await opened.trainable.evaluate(batch)).loss).toBeLessThan(0.8 * loss);

      const state = await opened.trainable.state();
      expect(state.has("printReader.patches.characters.weight")).toBe(true);
      const names = [...stages.model.parameters.keys()];
      const trained = new Map([...state].filter(([name]) => names.includes(name)));
      const saved = join(root, "saved");
      await stages.model.save(saved, trained, "");
      const again = await openModelFolder(saved, { offline: true });
      expect([...again.tensors.keys()].filter((name) => /reader/i.test(name))).toEqual([]);
      const { system } = await resolveModel(again, async () => again);
      expect([...listParameters(system.params)]).toHaveLength(again.tensors.size);
    } finally {
      await opened.close();
    }
  });

  test("is described before it runs", async () => {
    const recipe = recipeOf("print");
    const { steps, groups } = await (await openStages(recipe)).describe(recipe.stages[0]);
    expect(steps).toHaveLength(1);
    expect(groups[0].parameters.map(({ name }) => name)).toContain(
      "printReader.patches.characters.bias",
    );
  });

  test("exists only while it is asked for", async () => {
    await expect(openStage(recipeOf("next-token"))).rejects.toThrow(RecipeError);
  });

  test("is a model's in slices, which has no other objective but the next token", async () => {
    const llava = recipeOf("print", '["vision.**"]', join(root, "llava"));
    await expect(openStage(llava)).rejects.toThrow(OptionsError);
    const other = recipeOf("every-granularity", '["vision.**"]');
    await expect(openStage(other)).rejects.toThrow(RecipeError);
  });

  test("counts beside the answers as it counts alone, whatever the order of the patches", async () => {
    // Two mergings after the encoder: patches enter in merging order there, in raster order where the tower reads alone.
    const lossOf = async (objective: string, train: string) => {
      const recipe = parseRecipe(
        `name: print
model:
  from: ${folder}
  config: { insert_layer_id: null, merger_times: 2 }
  drop: ["vit_merger.**"]
  initialise: [{ parameters: ["merger.**"], with: declared }]
seed: 2
stages:
  - name: print
    ${objective}
    train: ${train}
    groups: [{ name: all, parameters: ["**"], learningRate: 1.0e-3 }]
    data:
      train: [{ scenes: { count: 6, heightPx: 192, aspect: 1.5, kinds: [detail], contents: [cells] } }]
      template: plain
      maxLength: 900
    batchSize: 1
    steps: 2
    schedule: { kind: constant }
`,
        "print.yaml",
      );
      const { opened } = await openStage(recipe);
      try {
        return (await opened.trainable.evaluate(await opened.data.next())).loss;
      } finally {
        await opened.close();
      }
    };
    const answers = await lossOf("objective: next-token", '["vision.**"]');
    const patches = await lossOf("objective: print", '["printReader.patches.**"]');
    const [half, whole, ofPatches] = [
      await lossOf("printWeight: 0.5", '["printReader.**"]'),
      await lossOf("printWeight: 1", '["printReader.**"]'),
      await lossOf("printWeight: 1", '["printReader.patches.**"]'),
    ];
    // A reader that does not learn is not heard.
    expect(ofPatches).toBeCloseTo(answers + patches, 4);
    const tokens = whole - answers - patches;
    // Untrained readers know nothing of the patches nor of the tokens.
    for (const loss of [patches, tokens]) expect(Math.abs(loss - Math.log(96))).toBeLessThan(1);
    expect(half).toBeCloseTo(answers + 0.5 * (patches + tokens), 4);
  });

  test("is read of the tokens alone where merging begins inside the encoder", async () => {
    const openFor = (train: string) => {
      const recipe = recipeOf("next-token", train);
      const [stage] = recipe.stages;
      return openStage({ ...recipe, stages: [{ ...stage, printWeight: 1 }] });
    };
    const { opened } = await openFor('["compressor.**", "merger.**", "printReader.tokens.**"]');
    try {
      const batch = await opened.data.next();
      const { loss } = await opened.trainable.step(batch, { all: 2e-3 });
      expect((await opened.trainable.evaluate(batch)).loss).toBeLessThan(loss);
    } finally {
      await opened.close();
    }
    const recipe = recipeOf("next-token", '["merger.**", "printReader.**"]');
    const stage = { ...recipe.stages[0], printWeight: 1 };
    const stages = await openStages({ ...recipe, stages: [stage] });
    await expect(stages.describe(stage)).rejects.toThrow(
      /does not depend on .*printReader\.patches/,
    );
  });

  test("is refused beside a model that takes no slices", async () => {
    const llava = recipeOf("next-token", '["vision.**"]', join(root, "llava"));
    const stages = llava.stages.map((stage) => ({ ...stage, printWeight: 1 }));
    await expect(openStage({ ...llava, stages })).rejects.toThrow(RecipeError);
  });

  test("needs images that say where their print stands", async () => {
    const { model } = await openStages(recipeOf("print"));
    const { processor, tokenizer, system } = model;
    if (!("downsampleMode" in processor)) throw new Error("the preset's processor cuts slices");
    const bad: string[] = [];
    const sample = {
      id: "0",
      messages: [
        { role: "user" as const, content: [{ type: "image" as const }] },
        { role: "assistant" as const, content: "yes" },
      ],
      media: [{ type: "image" as const, path: "photo.png" }],
      source: { file: "samples.json", line: 1 },
    };
    const batches = await createPackedBatches({
      reader: {
        length: 1,
        name: "samples.json",
        fingerprint: "test",
        read: async () => ({ sample }),
        close: async () => {},
      },
      report: createReadReport({
        numRecords: 1,
        maxBadShare: 1,
        onBad: ({ message }) => bad.push(message),
      }),
      labels: { tokenizer, template: llavaTemplates.plain },
      config: system.config as LlavaUhdConfig,
      processor,
      loadImage: async () => ({ width: 8, height: 8, data: new Uint8Array(192) }),
      numRows: 1,
      rowLength: 600,
      weighting: "token",
      seed: 1,
      locatesPrint: true,
    });
    await expect(batches.next()).rejects.toThrow(DatasetError);
    expect(bad.join()).toContain("where their print stands");
  });

  test("is told the print of just its patches", async () => {
    const { model } = await openStages(recipeOf("print"));
    const { tower } = (model.system.config as LlavaUhdConfig).vision;
    const strip = {
      pixelValues: {
        dtype: "float32" as const,
        shape: [1, 3, tower.patchSizePx, 4 * tower.patchSizePx],
        data: new Float32Array(3 * 4 * tower.patchSizePx ** 2),
      },
      grids: [{ rows: 2, columns: 2 }],
    };
    const feedsOf = (places: number) =>
      towerPrintFeeds(
        [{ ...strip, print: { patches: new Uint8Array(places), tokens: new Uint8Array(0) } }],
        tower,
      );
    expect(feedsOf(16)["print.patches.targets"].shape).toEqual([16]);
    expect(() => feedsOf(12)).toThrow(ShapeError);
  });

  test("is fed in the order in which views are packed", async () => {
    const noPixels = { dtype: "float32" as const, shape: [0], data: new Float32Array(0) };
    const stripOf = (rows: number, columns: number, codes: readonly number[]) => ({
      pixelValues: noPixels,
      grids: [{ rows, columns }],
      print: {
        patches: new Uint8Array(0),
        tokens: Uint8Array.from(codes.flatMap((code) => [code, 0, 0, 0, 0, 0, 0, 0])),
      },
    });
    // Views of one token, of two, and of one again: those of equal length come together.
    const strips = [stripOf(4, 4, [65]), stripOf(4, 8, [66, 67]), stripOf(4, 4, [68])];
    const { data } = printFeeds(strips, "tokens", 2)["print.tokens.targets"];
    const first = [...data].filter((_, at) => at % 8 === 0).map((code) => Number(code) + 0x20);
    expect(first).toEqual([65, 68, 66, 67]);
  });
});
