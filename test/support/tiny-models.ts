/**
 * Folders of tiny models with random weights, written as published checkpoints are: same file names,
 * same tensor names, both layouts. Every parameter starts as its own declaration says.
 */
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { initParameter, normal, randomStream } from "../../src/graph/initializers.js";
import type { RgbImage } from "../../src/image/image.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import type { LlavaMiniVariant } from "../../src/systems/llava-mini-config.js";
import { parseSystem } from "../../src/systems/system.js";
import { elementCount, float32, type TensorData } from "../../src/tensor-data.js";
import type { VideoSource } from "../../src/video/video-source.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { saveSafetensors } from "../../src/weights/safetensors-file.node.js";
import { fixturePath } from "./recorded-preprocessing.js";

/** Side of a view in pixels, and of its grid of patches. */
export const viewPx = 28;
export const gridSide = 4;
export const tileGrids = [
  [1, 2],
  [2, 1],
  [2, 2],
  [3, 1],
  [1, 3],
] as const;

export const tower = {
  architectures: ["CLIPVisionModel"],
  model_type: "clip_vision_model",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_channels: 3,
  image_size: viewPx,
  patch_size: viewPx / gridSide,
  hidden_act: "quick_gelu",
  layer_norm_eps: 1e-5,
};
// Heads of 12 elements: kernels take multiples of 8.
const language = {
  vocab_size: 320,
  hidden_size: 48,
  intermediate_size: 80,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  hidden_act: "silu",
};
const processor = {
  image_processor_type: "CLIPImageProcessor",
  size: { shortest_edge: viewPx },
  crop_size: { height: viewPx, width: viewPx },
};
const original = {
  ...language,
  mm_projector_type: "mlp2x_gelu",
  mm_vision_select_layer: -2,
  mm_vision_select_feature: "patch",
  mm_vision_tower: "openai/clip-vit-large-patch14-336",
  use_mm_proj: true,
};
const llava = { ...original, architectures: ["LlavaLlamaForCausalLM"], model_type: "llava_llama" };
/** AVG-LLaVA with 16 patches a view; the router reads 8 tokens of the text. */
const avg = {
  ...llava,
  image_aspect_ratio: "anyres",
  mm_patch_merge_type: "spatial_unpad",
  image_grid_pinpoints: tileGrids.map((grid) => grid.map((tiles) => tiles * viewPx)),
  vis_token_granularity: [1, 2, 4, 8, 16],
  router_select: true,
  filtered_text_num: 8,
};
const mini = {
  ...original,
  architectures: ["LlavaMiniLlamaForCausalLM"],
  model_type: "llava_mini_llama",
  prefusion_layer_num: 1,
};

type Json = Readonly<Record<string, unknown>>;
export type TinyModel = { readonly config: Json; readonly variant?: LlavaMiniVariant };

export const tinyModels = {
  "llava-pad": { config: { ...llava, image_aspect_ratio: "pad" } },
  "llava-square": { config: llava },
  "llava-next": {
    config: {
      ...llava,
      image_aspect_ratio: "anyres",
      mm_patch_merge_type: "spatial_unpad",
      image_grid_pinpoints: tileGrids.map((grid) => grid.map((tiles) => tiles * viewPx)),
    },
  },
  "llava-hf": {
    config: {
      architectures: ["LlavaForConditionalGeneration"],
      model_type: "llava",
      text_config: { ...language, model_type: "llama" },
      vision_config: tower,
      image_token_index: 319,
      vision_feature_layer: -2,
      vision_feature_select_strategy: "default",
    },
  },
  "llava-next-hf": {
    config: {
      architectures: ["LlavaNextForConditionalGeneration"],
      model_type: "llava_next",
      text_config: { ...language, model_type: "llama" },
      vision_config: tower,
      image_token_index: 319,
      vision_feature_layer: -2,
      vision_feature_select_strategy: "default",
      // Height before width in this layout.
      image_grid_pinpoints: tileGrids.map(([columns, rows]) => [rows * viewPx, columns * viewPx]),
    },
  },
  avg: { config: avg },
  "avg-fixed": { config: { ...avg, avg_llava_variant: "fixed" } },
  "avg-stage3": { config: { ...avg, router_select: false } },
  "avg-pad": { config: { ...avg, image_aspect_ratio: "pad", mm_patch_merge_type: "flat" } },
  "mini-1": { config: { ...mini, compressor_size: 1 } },
  "mini-2": { config: { ...mini, compressor_size: 2, image_aspect_ratio: "pad" } },
  "mini-hd": { config: { ...mini, compressor_size: 2, resolution_ratio: 2 } },
} satisfies Record<string, TinyModel>;
export type TinyModelName = keyof typeof tinyModels;

/**
 * Small, unlike a model's own first values: else what a token is drowns what the layers make of it, and
 * an answer would depend on its last token alone, so that no test of these models could fail.
 */
const smallTables = new Set(["language.embedding", "language.head"]);

/** First values of all parameters of a system, by published name. */
export const tinyWeights = ({ config, variant }: TinyModel, seed = 1): Map<string, TensorData> => {
  const system = parseSystem(config, tower, { ...(variant && { variant }) });
  const names = createRenameTable(system.names);
  const tensors = new Map<string, TensorData>();
  for (const [name, { source, shape }] of listParameters(system.params)) {
    const sides = shape.map(Number);
    const published = names.toPublished(name);
    if (source.kind !== "parameter" || published === undefined) {
      throw new Error(`tinyWeights: ${name} must have a published name`);
    }
    const count = elementCount(sides);
    const initializer = smallTables.has(name) ? normal(0.02) : source.initializer;
    tensors.set(published, float32(sides, initParameter(initializer, name, count, seed)));
  }
  return tensors;
};

export type WrittenModel = TinyModel & {
  readonly seed?: number;
  /** Changes the tensors before they are written. */
  readonly change?: (tensors: Map<string, TensorData>) => void;
};

const writeJson = (path: string, value: unknown): Promise<void> =>
  writeFile(path, JSON.stringify(value, null, 1));

/** Writes a whole model folder: settings, tokenizer, processor, vision tower's settings, weights. */
export const writeModel = async (
  folder: string,
  { config, variant, seed, change }: WrittenModel,
): Promise<void> => {
  await mkdir(join(folder, "vision_tower"), { recursive: true });
  const tensors = tinyWeights({ config, ...(variant && { variant }) }, seed);
  change?.(tensors);
  await saveSafetensors(join(folder, "model.safetensors"), tensors);
  await writeJson(join(folder, "config.json"), config);
  if (config.vision_config === undefined) {
    await writeJson(join(folder, "vision_tower/config.json"), tower);
    await writeJson(join(folder, "vision_tower/preprocessor_config.json"), processor);
  } else {
    await rm(join(folder, "vision_tower"), { recursive: true });
    await writeJson(join(folder, "preprocessor_config.json"), processor);
  }
  for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]) {
    await copyFile(fixturePath(`tokenizer/${file}`), join(folder, file));
  }
};

/** A temporary folder for all tests of a file, and models written into it. */
export const useModelFolders = () => {
  const made: Promise<string> = mkdtemp(join(tmpdir(), "saccade-models-"));
  afterAll(async () => rm(await made, { recursive: true, force: true }));
  let count = 0;
  return {
    /** Writes a model into a folder of its own and returns its path. */
    write: async (model: TinyModelName | WrittenModel, change?: WrittenModel["change"]) => {
      count += 1;
      const folder = join(await made, `model-${count}`);
      const chosen: WrittenModel = typeof model === "string" ? tinyModels[model] : model;
      await writeModel(folder, { ...chosen, ...(change && { change }) });
      return folder;
    },
  };
};

/** An image of random pixels. */
export const randomImage = (width: number, height: number, seed = 1): RgbImage => {
  const random = randomStream(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => Math.floor(256 * random()));
  return { width, height, data };
};

/** A video that holds its frames in memory. */
export const videoOf = (
  frames: readonly RgbImage[],
  { frameRate = 1, width = frames[0]?.width ?? 8, height = frames[0]?.height ?? 8 } = {},
): VideoSource => ({
  decoder: "folder",
  frameCount: frames.length,
  frameRate,
  width,
  height,
  durationSeconds: frames.length / frameRate,
  skippedFiles: [],
  async *readFrames(indices) {
    for (const index of indices) yield frames[index];
  },
  close: async () => {},
});
