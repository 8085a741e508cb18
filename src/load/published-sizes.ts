/**
 * The published models by their public configs, for estimating what they cost: shapes alone, no
 * weights. Keys are those that decide shapes, under their published names.
 */
import { clipConfig } from "../image/clip-config.js";
import type { ImageProcessorConfig } from "../systems/image-processing.js";
import { parseSystem, type System } from "../systems/system.js";

const vicuna7b = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 4096,
};
const vicuna13b = {
  ...vicuna7b,
  hidden_size: 5120,
  intermediate_size: 13_824,
  num_hidden_layers: 40,
  num_attention_heads: 40,
  num_key_value_heads: 40,
};
const llama8b = {
  ...vicuna7b,
  vocab_size: 128_256,
  intermediate_size: 14_336,
  num_key_value_heads: 8,
  rope_theta: 500_000,
  rope_scaling: {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
  max_position_embeddings: 131_072,
};

const qwen8b = {
  vocab_size: 151_748,
  hidden_size: 4096,
  intermediate_size: 12_288,
  num_hidden_layers: 36,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 40_960,
};

const clipTower = {
  mm_vision_tower: "openai/clip-vit-large-patch14-336",
  mm_projector_type: "mlp2x_gelu",
  mm_vision_select_layer: -2,
  mm_vision_select_feature: "patch",
};
/** Qwen3.5-0.8B without its own vision model, with MiniCPM-V 4.6's vocabulary. */
const qwen35Text = {
  model_type: "qwen3_5_text",
  vocab_size: 248_094,
  hidden_size: 1024,
  intermediate_size: 3584,
  num_hidden_layers: 24,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 256,
  tie_word_embeddings: true,
  max_position_embeddings: 262_144,
  full_attention_interval: 4,
  linear_num_key_heads: 16,
  linear_num_value_heads: 16,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  linear_conv_kernel_dim: 4,
  rope_parameters: {
    rope_type: "default",
    rope_theta: 10_000_000,
    partial_rotary_factor: 0.25,
    mrope_section: [11, 11, 10],
  },
};
const llava = { ...clipTower, model_type: "llava_llama", image_aspect_ratio: "pad" };
const next = {
  ...llava,
  image_aspect_ratio: "anyres",
  mm_patch_merge_type: "spatial_unpad",
  image_grid_pinpoints: [
    [336, 672],
    [672, 336],
    [672, 672],
    [1008, 336],
    [336, 1008],
  ],
};
const mini = {
  ...clipTower,
  model_type: "llava_mini_llama",
  compressor_size: 1,
  prefusion_layer_num: 4,
  resolution_ratio: 1,
};

export const publishedSizes = {
  "llava-1.5-7b": { ...llava, ...vicuna7b },
  "llava-1.5-13b": { ...llava, ...vicuna13b },
  "llava-next-7b": { ...next, ...vicuna7b },
  "llava-next-13b": { ...next, ...vicuna13b },
  "llava-mini-7b": { ...mini, ...vicuna7b },
  "llava-mini-llama-3.1-8b": { ...mini, ...llama8b },
  "avg-llava-7b": {
    ...next,
    ...vicuna7b,
    vis_token_granularity: [36, 72, 144, 288, 576],
    router_select: true,
  },
  "llava-mini-hd-7b": { ...mini, ...vicuna7b, compressor_size: 8, resolution_ratio: 2 },
  // SigLIP 2 so400m, whose shapes are the defaults of a vision_config.
  "llava-uhd-v4-8b": {
    ...qwen8b,
    model_type: "llava_uhd_v4",
    text_model_type: "qwen3",
    vision_config: {},
    insert_layer_id: 6,
  },
  "minicpm-v-4.6": {
    model_type: "minicpmv4_6",
    text_config: qwen35Text,
    vision_config: {},
    insert_layer_id: 6,
  },
} satisfies Readonly<Record<string, object>>;

export type PublishedSize = keyof typeof publishedSizes;

/** A published size with its image processor, changed by `changes` (keys of `config.json`). */
export const publishedModel = (
  name: PublishedSize,
  changes: Readonly<Record<string, unknown>> = {},
): { readonly system: System; readonly processor: ImageProcessorConfig } => {
  const system = parseSystem({ ...publishedSizes[name], ...changes });
  const { config } = system;
  const processor =
    config.system === "llava-uhd" ? config.slicing : clipConfig(config.vision.imageSizePx);
  return { system, processor };
};
