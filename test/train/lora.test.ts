import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ModelConfigError, RecipeError, WeightsMismatchError } from "../../src/errors.js";
import { loadModel } from "../../src/generate/load-model.node.js";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { type Engine, inMemoryParameters, randomStream } from "../../src/graph/index.js";
import { adapterScale, mergeAdapter, parseAdapterConfig } from "../../src/load/lora-adapter.js";
import { readAdapter } from "../../src/load/lora-adapter-folder.js";
import type { AdapterOf } from "../../src/nn/parameter-scope.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { mergeAdapterIntoFolder } from "../../src/train/merged-model.node.js";
import { openStartingModel } from "../../src/train/starting-model.node.js";
import { createVisionLanguageTrainable } from "../../src/train/vision-language-trainable.js";
import { filesOnDisk } from "../../src/weights/folder-files.node.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors } from "../../src/weights/safetensors-file.node.js";
import { randomImage, useModelFolders } from "../support/tiny-models.js";
import { tinyBatch, tinyTraining } from "../support/tiny-training.js";

const { config, values } = tinyTraining("mini-1");
const folders = useModelFolders();
const model = {
  from: "base",
  initialise: [],
  lora: {
    rank: 3,
    alpha: 6,
    targets: ["language.layers.*.attention.{query,value}", "projector.**"],
    save: "adapter" as "adapter" | "merged",
  },
};

let engine: Engine;
beforeAll(() => {
  engine = createNodeEngine({ threads: 1 });
});
afterAll(() => engine.close());

/** Opens the model with an adapter in training, and values of the adapter to start from. */
const openAdapter = async () => {
  const folder = await folders.write("mini-1");
  const starting = await openStartingModel({ model, seed: 4 }, folder);
  const trained = [...starting.parameters.keys()].filter((name) => name.includes(".lora_"));
  const state = new Map<string, TensorData<"float32">>();
  for (const name of trained) state.set(name, await starting.read(name));
  return { folder, starting, trained, state };
};

const openTrainable = (
  state: ReadonlyMap<string, TensorData<"float32">>,
  weights: ReadonlyMap<string, TensorData<"float32">>,
  adapterOf?: AdapterOf,
) =>
  createVisionLanguageTrainable(engine, config, {
    state,
    frozen: inMemoryParameters(weights),
    groups: [{ name: "all", parameters: [...state.keys()] }],
    ...(adapterOf && { adapterOf }),
  });

describe("a LoRA adapter", () => {
  it("changes nothing at first, and trains alone", async () => {
    const { starting, state, trained } = await openAdapter();
    // Two layers with two adapted projections each, and two layers of the projector.
    expect(trained).toHaveLength(2 * (2 * 2 + 2));
    const batch = tinyBatch(2, 12);
    const norm = "language.norm.weight";
    const plain = await openTrainable(
      new Map([[norm, values.get(norm) ?? float32([0], [])]]),
      values,
    );
    const adapted = await openTrainable(state, values, starting.adapterOf);
    const before = await plain.evaluate(batch);
    expect((await adapted.evaluate(batch)).loss).toBe(before.loss);
    for (let step = 0; step < 8; step += 1) await adapted.step(batch, { all: 1e-2 });
    expect((await adapted.evaluate(batch)).loss).toBeLessThan(0.95 * before.loss);
    await plain.close();
    await adapted.close();
  });

  it("merged into the weights computes what it computes beside them", async () => {
    const { starting, state } = await openAdapter();
    const adapted = await openTrainable(state, values, starting.adapterOf);
    const batch = tinyBatch(2, 12);
    for (let step = 0; step < 4; step += 1) await adapted.step(batch, { all: 1e-2 });
    const after = await adapted.state();
    const learned = new Map([...after].filter(([name]) => state.has(name)));
    const merged = await mergeAdapter(
      learned,
      model.lora.alpha / model.lora.rank,
      async (name) => values.get(name) ?? float32([0], []),
    );
    expect([...merged.keys()].every((name) => name.endsWith(".weight") && values.has(name))).toBe(
      true,
    );
    const norm = "language.norm.weight";
    const plain = await openTrainable(
      new Map([[norm, values.get(norm) ?? float32([0], [])]]),
      new Map([...values, ...merged]),
    );
    const other = tinyBatch(3, 10, { seed: 5 });
    const [beside, within] = [await adapted.evaluate(other), await plain.evaluate(other)];
    expect(Math.abs(within.loss / beside.loss - 1)).toBeLessThan(1e-5);
    await adapted.close();
    await plain.close();
  });

  it("is written and read as PEFT's, and answers as the merged model does", async () => {
    const { folder, starting, trained } = await openAdapter();
    const random = randomStream(9);
    const learned = new Map<string, TensorData<"float32">>();
    for (const name of trained) {
      const { shape, data } = await starting.read(name);
      learned.set(
        name,
        float32(
          shape,
          Float32Array.from(data, () => random() - 0.5),
        ),
      );
    }
    const adapter = `${folder}-adapter`;
    const merged = `${folder}-merged`;
    const byCommand = `${folder}-by-command`;
    await starting.save(adapter, learned, "# adapter\n");
    const { tensors } = await openSafetensors(join(adapter, "adapter_model.safetensors"));
    expect([...tensors.keys()]).toContain(
      "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight",
    );
    const settings = JSON.parse(await readFile(join(adapter, "adapter_config.json"), "utf8"));
    expect(settings).toMatchObject({ peft_type: "LORA", r: 3, lora_alpha: 6, bias: "none" });
    expect(settings.target_modules).toContain("model.layers.0.self_attn.q_proj");
    const read = await readAdapter(filesOnDisk(adapter), createRenameTable(starting.system.names));
    expect(new Map(read.tensors)).toEqual(learned);
    expect(read.scale).toBe(2);

    const recipe = {
      model: { ...model, lora: { ...model.lora, save: "merged" as const } },
      seed: 4,
    };
    await (await openStartingModel(recipe, folder)).save(merged, learned, "# merged\n");
    expect(await mergeAdapterIntoFolder(folder, adapter, byCommand)).toBe(trained.length / 2);
    const request = {
      messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "What?" }] }],
      media: [{ type: "image", image: randomImage(28, 28) }],
      maxTokens: 12,
    } as const;
    const texts: string[] = [];
    for (const [path, options] of [
      [folder, {}],
      [folder, { adapter }],
      [merged, {}],
      [byCommand, {}],
    ] as const) {
      const loaded = await loadModel(path, { threads: 1, ...options });
      texts.push((await loaded.answer(request)).text);
      await loaded.close();
    }
    const [base, beside, within, written] = texts;
    expect(beside).not.toBe(base);
    expect(within).toBe(beside);
    expect(written).toBe(beside);
    for (const path of [adapter, merged, byCommand]) await rm(path, { recursive: true });
  });

  it("of another kind, of other layers, or incomplete is refused", async () => {
    const plain = { peft_type: "LORA", r: 4, lora_alpha: 8, use_rslora: true };
    expect(adapterScale(parseAdapterConfig(plain))).toBe(4);
    for (const wrong of [
      { ...plain, peft_type: "IA3" },
      { ...plain, use_dora: true },
      { ...plain, rank_pattern: { q_proj: 8 } },
      { ...plain, bias: "all" },
    ]) {
      expect(() => parseAdapterConfig(wrong)).toThrow(ModelConfigError);
    }
    const { folder, starting, trained } = await openAdapter();
    const recipe = {
      model: { ...model, lora: { ...model.lora, targets: ["language.head"] } },
      seed: 0,
    };
    await expect(openStartingModel(recipe, folder)).rejects.toThrow(RecipeError);
    const half = new Map([[trained[0], await starting.read(trained[0])]]);
    const read = (name: string) => starting.read(name);
    await expect(mergeAdapter(half, 1, read)).rejects.toThrow(WeightsMismatchError);
    const adapter = `${folder}-other`;
    await starting.save(adapter, new Map(), "# adapter\n");
    await expect(
      readAdapter(filesOnDisk(adapter), createRenameTable([["language", "other"]])),
    ).rejects.toThrow(/must fit the model/);
    await rm(adapter, { recursive: true });
  });
});
