/** Small architectures to start from, in the layout in which the papers' models are published. */
import { nextPinpoints } from "../image/anyres.js";

/** A model's settings, in the layout in which the papers' models are published. */
export type ModelSettings = {
  readonly config: object;
  /** Of a vision tower in a folder of its own; absent where config.json describes it. */
  readonly visionConfig?: object;
  readonly preprocessorConfig: object;
};

/** A folder of `models/` whose tokenizer a preset's vocabulary belongs to. */
export type TokenizerName = "tokenizer" | "scenes-tokenizer" | "tiny-uhd-tokenizer";

export type Preset = ModelSettings & { readonly tokenizer: TokenizerName };

export type PresetName =
  | "tiny-llava"
  | "tiny-llava-mini"
  | "tiny-llava-uhd"
  | "tiny-avg-llava"
  | "scenes-llava"
  | "scenes-llava-mini"
  | "scenes-llava-uhd";

const imageSizePx = 96;

const visionConfig = {
  architectures: ["CLIPVisionModel"],
  model_type: "clip_vision_model",
  hidden_size: 128,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_channels: 3,
  image_size: imageSizePx,
  patch_size: 8,
  hidden_act: "quick_gelu",
  layer_norm_eps: 1e-5,
};

/** OpenAI's CLIP processor at our size. */
const preprocessorConfig = {
  image_processor_type: "CLIPImageProcessor",
  do_convert_rgb: true,
  do_resize: true,
  size: { shortest_edge: imageSizePx },
  resample: 3,
  do_center_crop: true,
  crop_size: { height: imageSizePx, width: imageSizePx },
  do_rescale: true,
  rescale_factor: 1 / 255,
  do_normalize: true,
  image_mean: [0.48145466, 0.4578275, 0.40821073],
  image_std: [0.26862954, 0.26130258, 0.27577711],
};

/** Ids are those of the small tokenizer in models/tokenizer. */
const decoderConfig = {
  bos_token_id: 307,
  eos_token_id: 311,
  pad_token_id: 312,
  vocab_size: 320,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  hidden_act: "silu",
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  max_position_embeddings: 2048,
  tie_word_embeddings: false,
  attention_bias: false,
  mlp_bias: false,
};

const llavaConfig = {
  architectures: ["LlavaLlamaForCausalLM"],
  model_type: "llava_llama",
  ...decoderConfig,
  image_aspect_ratio: "pad",
  mm_hidden_size: visionConfig.hidden_size,
  mm_patch_merge_type: "flat",
  mm_projector_type: "mlp2x_gelu",
  mm_use_im_patch_token: false,
  mm_use_im_start_end: false,
  mm_vision_select_feature: "patch",
  mm_vision_select_layer: -2,
  mm_vision_tower: "vision_tower",
  use_mm_proj: true,
  torch_dtype: "float32",
};

/** AVG-LLaVA with the published tiles and as many granularities, of a grid half as wide. */
const avgConfig = {
  ...llavaConfig,
  image_aspect_ratio: "anyres",
  image_grid_pinpoints: nextPinpoints(imageSizePx).map(({ width, height }) => [width, height]),
  mm_patch_merge_type: "spatial_unpad",
  vis_token_granularity: [9, 18, 36, 72, 144],
  router_select: true,
  margin: 1,
  rank_loss_weight: 1,
  ce_loss_weight: 0.1,
};

/**
 * LLaVA-UHD v4 at a quarter of a view's side: the compressor after a quarter of the layers. Ids are those of
 * models/tiny-uhd-tokenizer.
 */
const uhdConfig = {
  model_type: "llava_uhd_v4",
  text_model_type: "qwen3",
  bos_token_id: null,
  eos_token_id: 309,
  pad_token_id: 307,
  vocab_size: 336,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
  vision_config: {
    model_type: "siglip_vision_model",
    hidden_size: 128,
    intermediate_size: 480,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_channels: 3,
    image_size: 160,
    patch_size: 8,
    hidden_act: "gelu_pytorch_tanh",
    layer_norm_eps: 1e-6,
  },
  insert_layer_id: 0,
  compressor_type: "window-attention-reused-mlp",
  merger_times: 1,
  downsample_mode: "16x",
  slice_config: { max_slice_nums: 9, scale_resolution: 96, patch_size: 8 },
  torch_dtype: "float32",
};

const uhdPreprocessorConfig = {
  image_processor_type: "MiniCPMVImageProcessor",
  max_slice_nums: 9,
  scale_resolution: 96,
  patch_size: 8,
  slice_mode: true,
  use_image_id: true,
  image_mean: [0.5, 0.5, 0.5],
  image_std: [0.5, 0.5, 0.5],
};

/** The backbone of the embedded models: 6 patches a side, so that the cells of scenes (2x2, 3x3) end where patches do. */
const scenesVisionConfig = {
  ...visionConfig,
  hidden_size: 192,
  intermediate_size: 768,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  patch_size: 16,
};

/** Ids are those of the tokenizer of Scenes. */
const scenesDecoderConfig = {
  ...decoderConfig,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
  vocab_size: 576,
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  num_key_value_heads: 6,
  max_position_embeddings: 1024,
  attention_bias: true,
};

/** The last layer's output is used: there is no pretrained tower to follow. */
const scenesLlavaConfig = {
  ...llavaConfig,
  ...scenesDecoderConfig,
  mm_hidden_size: scenesVisionConfig.hidden_size,
  mm_vision_select_layer: -1,
};

const scenesLlavaMiniConfig = {
  ...scenesLlavaConfig,
  architectures: ["LlavaMiniLlamaForCausalLM"],
  model_type: "llava_mini_llama",
  compressor_size: 1,
  prefusion_layer_num: 2,
  resolution_ratio: 1,
};

/**
 * Decoder and tower of scenes-llava over slices of 8 x 8 patches, all merging after the encoder: the
 * baseline that recipes/scenes-llava-uhd.yaml puts the compressor into. Images are scaled to CLIP's
 * mean and deviation, as the tower knows them.
 */
const scenesLlavaUhdConfig = {
  model_type: "llava_uhd_v4",
  text_model_type: "llama",
  ...scenesDecoderConfig,
  vision_config: { ...scenesVisionConfig, image_size: 128 },
  vision_feature_layer: scenesLlavaConfig.mm_vision_select_layer,
  merger_times: 2,
  downsample_mode: "16x",
  slice_config: { max_slice_nums: 9, scale_resolution: 128, patch_size: 16 },
  torch_dtype: "float32",
};

/** How images are cut, the model's own config says, so that a recipe can change it. */
const scenesUhdPreprocessorConfig = {
  image_processor_type: "MiniCPMVImageProcessor",
  slice_mode: true,
  use_image_id: true,
  image_mean: preprocessorConfig.image_mean,
  image_std: preprocessorConfig.image_std,
};

const scenesParts = {
  visionConfig: scenesVisionConfig,
  preprocessorConfig,
  tokenizer: "scenes-tokenizer",
} as const;

export const presets: Readonly<Record<PresetName, Preset>> = {
  "scenes-llava": { config: scenesLlavaConfig, ...scenesParts },
  "scenes-llava-mini": { config: scenesLlavaMiniConfig, ...scenesParts },
  "scenes-llava-uhd": {
    config: scenesLlavaUhdConfig,
    preprocessorConfig: scenesUhdPreprocessorConfig,
    tokenizer: "scenes-tokenizer",
  },
  "tiny-llava": { config: llavaConfig, visionConfig, preprocessorConfig, tokenizer: "tokenizer" },
  "tiny-avg-llava": { config: avgConfig, visionConfig, preprocessorConfig, tokenizer: "tokenizer" },
  "tiny-llava-uhd": {
    config: uhdConfig,
    preprocessorConfig: uhdPreprocessorConfig,
    tokenizer: "tiny-uhd-tokenizer",
  },
  "tiny-llava-mini": {
    config: {
      ...llavaConfig,
      architectures: ["LlavaMiniLlamaForCausalLM"],
      model_type: "llava_mini_llama",
      compressor_size: 1,
      prefusion_layer_num: 2,
      resolution_ratio: 1,
    },
    visionConfig,
    preprocessorConfig,
    tokenizer: "tokenizer",
  },
};
