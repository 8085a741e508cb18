import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSequenceProbe } from "../../src/analyze/sequence-probe.js";
import { estimateCost } from "../../src/cost/cost-report.js";
import {
  LimitError,
  ModelConfigError,
  OptionsError,
  TokenizerError,
  UnknownArchitectureError,
  WeightsMismatchError,
} from "../../src/errors.js";
import { createMediaPreparation, type Media } from "../../src/generate/media.js";
import type { Graph } from "../../src/graph/index.js";
import { resolveSlicing } from "../../src/image/slice-config.js";
import { planSlices } from "../../src/image/slice-plan.js";
import { writeModel } from "../../src/load/model-writer.node.js";
import { initParameters, writeNewModel } from "../../src/load/new-model.node.js";
import { presets } from "../../src/load/presets.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import { loadModel, type VisionLanguageModel } from "../../src/node.js";
import { type LlavaUhdConfig, mergeLevels } from "../../src/systems/llava-uhd-config.js";
import { countUhdTokens, gridsOf } from "../../src/systems/llava-uhd-encoder.js";
import { parseSystem } from "../../src/systems/system.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { planPacking } from "../../src/vision/pack-patches.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors } from "../../src/weights/safetensors-file.node.js";
import { useEngine } from "../support/graph-runner.js";
import { randomImage, videoOf } from "../support/tiny-models.js";

const preset = presets["tiny-llava-uhd"];
const published = preset.config as Record<string, unknown>;
const config = parseSystem(preset.config).config as LlavaUhdConfig;

/** The same model as transformers names it. */
const { model_type: _, text_model_type: __, vision_config, slice_config, ...text } = published;
const { tie_word_embeddings: ___, ...untied } = text;
const transformersConfig = {
  model_type: "minicpmv4_6",
  text_config: { ...text, model_type: "qwen3" },
  vision_config,
  slice_config,
  insert_layer_id: 0,
  merger_times: 1,
};

/** The same with a text model as MiniCPM-V 4.6 has it: recurrent layers, and one that attends. */
const hybridConfig = {
  ...transformersConfig,
  tie_word_embeddings: true,
  text_config: {
    ...untied,
    model_type: "qwen3_5_text",
    num_hidden_layers: 3,
    full_attention_interval: 3,
    head_dim: 16,
    linear_num_key_heads: 2,
    linear_num_value_heads: 4,
    linear_key_head_dim: 8,
    linear_value_head_dim: 12,
  },
};

let root = "";
let folder = "";
let model: VisionLanguageModel;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-uhd-"));
  folder = join(root, "training");
  await writeNewModel(folder, "tiny-llava-uhd", 3);
  model = await loadModel(folder, { threads: 1 });
});
afterAll(async () => {
  await model.close();
  await rm(root, { recursive: true, force: true });
});

const image = (width: number, height: number, seed = 1): Media => ({
  type: "image",
  image: randomImage(width, height, seed),
});
const asked = (media: readonly Media[], maxTokens = 4) => ({
  messages: [
    {
      role: "user" as const,
      content: [
        ...media.flatMap(({ type }) => [{ type }, { type: "text" as const, text: "and" }] as const),
        { type: "text" as const, text: "what?" },
      ],
    },
  ],
  media,
  maxTokens,
  temperature: 0,
});

describe("planned tokens are produced tokens", () => {
  test("for every view of 500 sizes, from 1 x 1 to 8000 x 8000 and aspects up to 1:50, in both modes", () => {
    const side = fc.integer({ min: 1, max: 8000 });
    const mode = fc.constantFrom("16x" as const, "4x" as const);
    const sized = fc
      .record({ width: side, height: side, mode, maxSlices: fc.integer({ min: 1, max: 36 }) })
      .filter(({ width, height }) => Math.max(width, height) <= 50 * Math.min(width, height));
    fc.assert(
      fc.property(sized, ({ width, height, mode: downsampleMode, maxSlices }) => {
        const slicing = { downsampleMode, maxSlices };
        const plan = planSlices({ width, height }, resolveSlicing(config.slicing, slicing).options);
        const counted = countUhdTokens(plan, config, { slicing });
        const levels = mergeLevels(config.vision, downsampleMode);
        const { views } = planPacking(gridsOf(plan, config), levels);
        expect(views.map(({ numTokens }) => numTokens)).toEqual(counted);
      }),
      { numRuns: 500 },
    );
  });

  test.each([
    [image(500, 130), image(96, 96, 2)],
    [image(31, 40)],
    [{ ...image(300, 200), choice: { slicing: { downsampleMode: "4x" } } } as Media],
    [{ ...image(300, 200), choice: { slicing: { maxSlices: 2 } } } as Media, image(64, 640)],
  ])("when they are computed (%#)", async (...media) => {
    const request = asked(media);
    const { promptTokens, imageTokens } = model.count(request);
    const answer = await model.answer(request);
    expect(answer.usage).toMatchObject({ promptTokens, imageTokens });
    // Whoever planned too few would have been refused by the splice.
    expect(answer.ids.length).toBeGreaterThan(0);
  });

  test("for a video, whose frames are images in slices", async () => {
    const frames = [1, 2, 3].map((seed) => randomImage(200, 120, seed));
    const media: Media = { type: "video", video: videoOf(frames), sampling: { rule: "all" } };
    const count = model.count(asked([media]));
    expect(count.videoTokens).toBe(3 * model.count(asked([image(200, 120)])).imageTokens);
    expect((await model.answer(asked([media]))).usage.videoTokens).toBe(count.videoTokens);
  });
});

describe("an image in slices", () => {
  test("is answered about alike when its features come from the cache", async () => {
    const request = asked([image(333, 222, 8), image(100, 100, 9)], 6);
    const first = await model.answer(request);
    const again = await model.answer(request);
    expect(again.views).toEqual({ total: 2, cached: 2 });
    expect(again.ids).toEqual(first.ids);
  });

  test("in 4x is not in 16x, and takes four times the tokens where views stay the same", async () => {
    const media = image(96, 96, 4);
    const fourfold = { ...media, choice: { slicing: { downsampleMode: "4x" } } } as Media;
    expect(model.count(asked([media])).imageTokens).toBe(9);
    expect(model.count(asked([fourfold])).imageTokens).toBe(36);
  });

  test("batches answer like requests alone", async () => {
    const requests = [asked([image(300, 100, 5)], 5), asked([image(50, 80, 6), image(9, 9)], 5)];
    const together = await model.answerBatch(requests);
    for (const [index, request] of requests.entries()) {
      expect((await model.answer(request)).ids).toEqual(together[index].ids);
    }
  });

  test.each([0, -1, 2.5, Number.NaN])("refuses %d slices", (maxSlices) => {
    const media = { ...image(300, 300), choice: { slicing: { maxSlices } } } as Media;
    expect(() => model.count(asked([media]))).toThrow(OptionsError);
  });

  test("refuses what its model does not have, and images beyond the limits", () => {
    const wrong = [
      { granularity: 36 },
      { detail: "low" as const },
      { slicing: { downsampleMode: "8x" as "4x" } },
      { maxSoftTokens: 3 },
    ];
    for (const choice of wrong) {
      expect(() => model.count(asked([{ ...image(300, 300), choice } as Media]))).toThrow(
        OptionsError,
      );
    }
    expect(() => model.count(asked([image(1000, 2)]))).toThrow(LimitError);
  });
});

describe("folders", () => {
  const write = async (name: string, changed: object, preprocessorConfig: object) => {
    const path = join(root, name);
    await writeModel(path, {
      config: changed,
      preprocessorConfig,
      card: "",
      tokenizerFiles: ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"].map(
        (file) => join(folder, file),
      ),
      parameterValue: initParameters(changed, undefined, 3),
    });
    return path;
  };

  test("in transformers' layout have its names, load, and answer as those of the training code", async () => {
    const path = await write("transformers", transformersConfig, {
      ...preset.preprocessorConfig,
      image_processor_type: "MiniCPMV4_6ImageProcessor",
    });
    const { tensors } = await openSafetensors(join(path, "model.safetensors"));
    expect([...tensors.keys()]).toEqual(
      expect.arrayContaining([
        "model.vision_tower.embeddings.patch_embedding.weight",
        "model.vision_tower.vit_merger.linear_1.weight",
        "model.merger.mlp.0.linear_2.bias",
        "model.language_model.layers.0.self_attn.q_norm.weight",
        "lm_head.weight",
      ]),
    );
    const other = await loadModel(path, { threads: 1 });
    try {
      const request = asked([image(300, 200, 5)], 6);
      expect((await other.answer(request)).ids).toEqual((await model.answer(request)).ids);
    } finally {
      await other.close();
    }
  });

  test("with MiniCPM-V 4.6's text model have its names, load, answer in batches as alone, and are priced", async () => {
    const path = await write("hybrid", hybridConfig, preset.preprocessorConfig);
    const { tensors } = await openSafetensors(join(path, "model.safetensors"));
    const names = [...tensors.keys()];
    expect(names).toEqual(
      expect.arrayContaining([
        "model.language_model.layers.0.linear_attn.in_proj_qkv.weight",
        "model.language_model.layers.1.linear_attn.conv1d.weight",
        "model.language_model.layers.2.self_attn.k_norm.weight",
      ]),
    );
    expect(names).not.toContain("lm_head.weight");
    const other = await loadModel(path, { threads: 1 });
    try {
      const requests = [asked([image(300, 200, 5)], 6), asked([image(50, 80, 6)], 5), asked([], 6)];
      const together = await other.answerBatch(requests);
      for (const [index, request] of requests.entries()) {
        const { usage, ids } = await other.answer(request);
        expect(ids).toEqual(together[index].ids);
        expect(usage.promptTokens).toBe(other.count(request).promptTokens);
      }
      const { system } = other;
      const resolved = { system, processor: config.slicing };
      const media = [{ width: 300, height: 200 }];
      const report = estimateCost(resolved, { media, textTokens: 20, answerTokens: 5 });
      const tokens = report.visionTokens + 25;
      const heads = Number(text.num_key_value_heads);
      const states = 2 * (4 * 8 * 12 + 3 * (2 * 2 * 8 + 4 * 12));
      expect(report.bytes.kvCache).toBe(4 * (tokens * 2 * heads * 16 + states));
      expect(report.flops.prefill).toBeGreaterThan(0);
      expect(() => createSequenceProbe(other)).toThrow(OptionsError);
    } finally {
      await other.close();
    }
  });

  test("of the training code have its names", async () => {
    const { tensors } = await openSafetensors(join(folder, "model.safetensors"));
    expect([...tensors.keys()]).toEqual(
      expect.arrayContaining([
        "vpm.encoder.layers.0.self_attn.out_proj.weight",
        "vit_merger.pre_norm.weight",
        "resampler.mlp.0.mlp.2.bias",
        "llm.model.embed_tokens.weight",
        "llm.lm_head.weight",
      ]),
    );
  });

  test("whose compressor does not fit their config are refused, tensor by tensor", async () => {
    const path = await write("other", preset.config, preset.preprocessorConfig);
    const settings = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    settings.compressor_type = "window-attention-mlp";
    await writeFile(join(path, "config.json"), JSON.stringify(settings));
    const failure = await loadModel(path).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WeightsMismatchError);
    expect((failure as WeightsMismatchError).wrongShape.join()).toContain("vit_merger.linear_1");
    settings.insert_layer_id = null;
    await writeFile(join(path, "config.json"), JSON.stringify(settings));
    await expect(loadModel(path)).rejects.toThrow(WeightsMismatchError);
  });

  test("whose tokenizer lacks the markers refuse images, not text", async () => {
    const path = await write("plain", { ...published, vocab_size: 336 }, preset.preprocessorConfig);
    for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]) {
      const source = new URL(`../../models/tokenizer/${file}`, import.meta.url);
      await writeFile(join(path, file), await readFile(source));
    }
    const other = await loadModel(path, { threads: 1, template: "vicuna_v1" });
    try {
      expect(() => other.count(asked([image(300, 200)]))).toThrow(TokenizerError);
      expect(other.count(asked([])).promptTokens).toBeGreaterThan(0);
    } finally {
      await other.close();
    }
  });

  test("of models that are not implemented, or cannot be, say so", () => {
    const mixed = { ...transformersConfig, text_config: { ...text, model_type: "qwen3_next" } };
    expect(() => parseSystem(mixed)).toThrow(UnknownArchitectureError);
    const widths = { linear_num_key_heads: 3, linear_num_value_heads: 4 };
    const uneven = { ...hybridConfig, text_config: { ...hybridConfig.text_config, ...widths } };
    expect(() => parseSystem(uneven)).toThrow(ModelConfigError);
    expect(() => parseSystem({ ...published, insert_layer_id: 4 })).toThrow(ModelConfigError);
    expect(() => parseSystem({ ...published, compressor_type: "pooling" })).toThrow(
      ModelConfigError,
    );
    expect(() => parseSystem({ ...published, merger_times: 3 })).toThrow(ModelConfigError);
    const baseline = { insert_layer_id: null, merger_times: 2, downsample_mode: "4x" };
    expect(() => parseSystem({ ...published, ...baseline })).toThrow(ModelConfigError);
    expect(() => parseSystem({ ...published, use_sliding_window: true })).toThrow(ModelConfigError);
    const { hidden_size: ____, ...widthless } = published;
    expect(() => parseSystem(widthless)).toThrow(ModelConfigError);
  });
});

describe("every encoder and connector makes a system", () => {
  const runner = useEngine();
  const clipVision = {
    model_type: "clip_vision_model",
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    image_size: 64,
    patch_size: 8,
  };
  const moonvit = { ...clipVision, model_type: "moonvit", init_pos_emb_height: 6 };
  const small = { slice_config: { max_slice_nums: 4, scale_resolution: 64, patch_size: 8 } };
  const systems = {
    "CLIP with the compressor": { vision_config: clipVision },
    "MoonViT with the compressor": { vision_config: moonvit },
    "a resampler after the encoder": {
      connector_type: "resampler",
      query_num: 5,
      insert_layer_id: null,
    },
    "a resampler after the compressor": { connector_type: "resampler", query_num: 5 },
    "two mergings after the encoder": { insert_layer_id: null, merger_times: 2 },
  };

  test.each(Object.entries(systems))("%s", async (_name, changes) => {
    const system = parseSystem({ ...published, ...small, ...changes });
    const names = createRenameTable(system.names);
    for (const name of listParameters(system.params).keys()) {
      expect(names.toInternal(names.toPublished(name) ?? "")).toBe(name);
    }
    const initial = initParameters({ ...published, ...small, ...changes }, undefined, 1);
    const values = new Map(
      [...listParameters(system.params).keys()].map((name) => [name, initial(name)]),
    );
    const encoder = system.createEncoder({
      open: (graph: Graph) =>
        runner.engine().open(graph, (name) => {
          const { data } = values.get(name) ?? initial(name);
          return {
            dtype: "float32",
            content: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
          };
        }),
      featureCacheBytes: 0,
      maxPromptTokens: 512,
    });
    const uhd = system.config as LlavaUhdConfig;
    const media = createMediaPreparation(uhd, uhd.slicing, encoder);
    const item = image(140, 70, 3);
    const { input, report } = await media.prepare(item);
    const placeholders = report.views.map(() => imagePlaceholderId);
    const { embeddings, visualTokens } = await encoder.encodePrompt(
      [5, ...placeholders, 7],
      [input],
    );
    expect(visualTokens).toEqual([report.tokens]);
    expect(embeddings.shape).toEqual([1, report.tokens + 2, 128]);
    expect(embeddings.data.every(Number.isFinite)).toBe(true);
  });
});
