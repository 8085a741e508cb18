import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OptionsError, RecipeError, WeightsMismatchError } from "../../src/errors.js";
import { presets } from "../../src/load/presets.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import { resizePositionTable } from "../../src/reduce/position-tables.js";
import { parseSystem } from "../../src/systems/system.js";
import { float32 } from "../../src/tensor-data.js";
import { parseRecipe } from "../../src/train/recipe.js";
import { openStartingModel, type StartingModel } from "../../src/train/starting-model.node.js";
import { smallLlava, smallUhd, smallWidth, writeSmallModel } from "../support/small-scenes.js";

const llava = presets["scenes-llava"];
const uhd = presets["scenes-llava-uhd"];

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-initial-"));
  await writeSmallModel(join(root, "llava"), smallLlava, 1);
  await writeSmallModel(join(root, "uhd"), smallUhd, 2);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const recipeWith = (modelText: string) =>
  parseRecipe(
    `name: started
model:
  from: unused
${modelText}
stages:
  - name: only
    train: ["**"]
    groups: [{ name: all, parameters: ["**"], learningRate: 1.0e-3 }]
    data: { train: [{ scenes: { count: 1 } }], maxLength: 100 }
    batchSize: 1
    steps: 1
    schedule: { kind: constant }
`,
    "started.yaml",
  );

const openFrom = (folder: string, modelText: string): Promise<StartingModel> =>
  openStartingModel(recipeWith(modelText), join(root, folder), { offline: true });

const openPlain = (folder: string): Promise<StartingModel> => openFrom(folder, "  initialise: []");

const entry = (parameters: string, kind: string, from: string, more = ""): string =>
  `    - { parameters: ${parameters}, with: ${kind}, from: ${JSON.stringify(join(root, from))}${more} }`;

const tower = '["vision.**", "language.**"]';

describe("LLaVA-UHD that starts from a LLaVA", () => {
  test("has every parameter of its tower and decoder in the same shape, but for the positions", () => {
    const shapes = (config: object, visionConfig?: object) => {
      const { params } = parseSystem(config, visionConfig);
      const own = [...listParameters(params)].filter(([name]) => /^(vision|language)\./.test(name));
      return new Map(own.map(([name, { shape }]) => [name, String(shape)]));
    };
    const [from, to] = [shapes(llava.config, llava.visionConfig), shapes(uhd.config)];
    expect([...from.keys()].sort()).toEqual([...to.keys()].sort());
    const different = [...from].filter(([name, shape]) => to.get(name) !== shape);
    expect(different).toEqual([["vision.positions", "37,192"]]);
    expect(to.get("vision.positions")).toBe("65,192");
  });

  test("has its tower and decoder unchanged, positions resized, and its own connector", async () => {
    const [llava, plain] = [await openPlain("llava"), await openPlain("uhd")];
    const uhd = await openFrom(
      "uhd",
      `  initialise:
${entry(tower, "checkpoint", "llava")}
${entry('["vision.positions"]', "interpolated", "llava")}`,
    );
    let numCopied = 0;
    for (const name of uhd.parameters.keys()) {
      const value = await uhd.read(name);
      if (name === "vision.positions") {
        const table = await llava.read(name);
        expect([table.shape, value.shape]).toEqual([
          [37, smallWidth],
          [65, smallWidth],
        ]);
        expect(value.data).toEqual(resizePositionTable(table, 65).data);
      } else if (name.startsWith("merger.")) {
        expect(value.data).toEqual((await plain.read(name)).data);
      } else {
        expect(value.data, name).toEqual((await llava.read(name)).data);
        numCopied += 1;
      }
    }
    expect(numCopied).toBe(
      [...llava.parameters.keys()].filter((name) => /^(vision|language)\./.test(name)).length - 1,
    );
  });

  test("is saved with what it took over", async () => {
    const [llava, uhd] = [
      await openPlain("llava"),
      await openFrom(
        "uhd",
        `  initialise:\n${entry('["language.head.**"]', "checkpoint", "llava")}`,
      ),
    ];
    await uhd.save(join(root, "saved"), new Map(), "# saved\n");
    const saved = await openPlain("saved");
    const [head] = [...saved.parameters.keys()].filter((name) => name.startsWith("language.head"));
    expect((await saved.read(head)).data).toEqual((await llava.read(head)).data);
  });

  test("and the compressor's model from the baseline: its connector is the baseline's last stage", async () => {
    const baseline = await openPlain("uhd");
    const rename = ", rename: { merger.stages.0: merger.stages.1 }";
    const uhd = await openFrom(
      "uhd",
      `  config: { insert_layer_id: 1, merger_times: 1 }
  drop: ["resampler.mlp.1.**"]
  initialise:
    - { parameters: ["compressor.**"], with: layer-before }
${entry('["merger.**"]', "checkpoint", "uhd", rename)}`,
    );
    const names = [...uhd.parameters.keys()].filter((name) => name.startsWith("merger."));
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      const there = name.replace("stages.0", "stages.1");
      expect((await uhd.read(name)).data).toEqual((await baseline.read(there)).data);
    }
    const norm = await uhd.read("compressor.mixing.norm1.weight");
    expect(norm.data).toEqual((await uhd.read("vision.layers.1.norm1.weight")).data);
  });

  test("begins to merge as the mean of a trained projector's tokens", async () => {
    const pooled = entry('["merger.**"]', "pooled-projector", "llava", ", deviations: [3, 2]");
    const [{ read }, own] = [
      await openFrom("uhd", `  initialise:\n${pooled}`),
      await openPlain("llava"),
    ];
    const { data } = await own.read("projector.layers.0.weight");
    const up = await read("merger.stages.0.up.weight");
    expect(up.shape).toEqual([4 * smallWidth, 4 * smallWidth]);
    expect([...up.data.subarray(0, smallWidth)]).toEqual([...data.subarray(0, smallWidth)]);
    expect((await read("merger.stages.1.norm.weight")).data[0]).toBe(2);
    const elsewhere = entry(
      '["language.norm.**"]',
      "pooled-projector",
      "llava",
      ", deviations: [3]",
    );
    await expect(openFrom("uhd", `  initialise:\n${elsewhere}`)).rejects.toThrow(RecipeError);
    for (const more of [
      "",
      ", deviations: []",
      ", deviations: [0]",
      ", deviations: [1], rename: {}",
    ]) {
      const wrong = entry('["merger.**"]', "pooled-projector", "llava", more);
      expect(() => recipeWith(`  initialise:\n${wrong}`), more).toThrow(RecipeError);
    }
  });

  test("cannot take what does not fit or is not there", async () => {
    await expect(
      openFrom("uhd", `  initialise:\n${entry(tower, "checkpoint", "llava")}`),
    ).rejects.toThrow(RecipeError);
    await expect(
      openFrom("uhd", `  initialise:\n${entry('["merger.**"]', "checkpoint", "llava")}`),
    ).rejects.toThrow(WeightsMismatchError);
    await expect(
      openFrom("uhd", `  initialise:\n${entry('["language.norm.**"]', "interpolated", "llava")}`),
    ).rejects.toThrow(OptionsError);
    expect(() =>
      recipeWith('  initialise:\n    - { parameters: ["**"], with: checkpoint }'),
    ).toThrow(RecipeError);
    expect(() => recipeWith(`  initialise:\n${entry('["**"]', "zeros", "llava")}`)).toThrow(
      RecipeError,
    );
  });
});

describe("AVG-LLaVA's router", () => {
  const starting = (parameters: string) => `  config:
    { vis_token_granularity: [1, 4, 9, 18, 36], router_select: true, filtered_text_num: 8 }
  initialise:
    - { parameters: ["router.**"], with: declared }
    - { parameters: ${parameters}, with: even-votes }`;

  test("starts with a granularity's tokens weighing one together, and so does a text token", async () => {
    const { read } = await openFrom("llava", starting('["router.voter"]'));
    const { shape, data } = await read("router.voter");
    expect(shape).toEqual([1 + 4 + 9 + 18 + 36 + 8, 1]);
    let at = 0;
    for (const tokens of [1, 4, 9, 18, 36]) {
      const weights = data.subarray(at, at + tokens);
      expect(weights.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 6);
      expect(new Set(weights).size).toBe(1);
      at += tokens;
    }
    expect([...data.subarray(at)]).toEqual(new Array(8).fill(1));
  });

  test("has nothing else that votes", async () => {
    await expect(openFrom("llava", starting('["router.norm.**"]'))).rejects.toThrow(RecipeError);
    await expect(
      openFrom(
        "llava",
        `  initialise:\n    - { parameters: ["language.head.**"], with: even-votes }`,
      ),
    ).rejects.toThrow(RecipeError);
  });
});

describe("a table of positions", () => {
  const squares = Float32Array.from({ length: 9 }, (_, index) => index ** 2 / 4);
  // torch.nn.functional.interpolate(mode="bicubic", align_corners=False) of the 3 x 3 squares.
  const expected: number[] = [
    -0.171715, -0.141024, 0.227938, 0.669274, 0.622648, 1.196155, 2.413708, 3.39786, 4.753329,
    6.175427, 8.719592, 10.552335, 9.243492, 11.208407, 14.601164, 16.976723,
  ];

  test("is resized as PyTorch resizes it, the class token's row as it is", () => {
    const grid = resizePositionTable(float32([9, 1], squares), 16);
    expect(grid.shape).toEqual([16, 1]);
    for (const [place, value] of expected.entries()) expect(grid.data[place]).toBeCloseTo(value, 4);
    const withClass = float32([10, 1], Float32Array.of(-7, ...squares));
    expect([...resizePositionTable(withClass, 17).data]).toEqual([-7, ...grid.data]);
    expect(resizePositionTable(withClass, 10).data).toEqual(withClass.data);
  });

  test("that is no square grid is refused", () => {
    for (const [rows, numRows] of [
      [12, 16],
      [9, 12],
      [9, 17],
    ]) {
      const table = float32([rows, 1], new Float32Array(rows));
      expect(() => resizePositionTable(table, numRows)).toThrow(OptionsError);
    }
  });
});
