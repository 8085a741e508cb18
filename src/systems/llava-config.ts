/** What LLaVA checkpoints say about themselves, in the original and in Hugging Face's own layout. */
import { z } from "zod";
import { ModelConfigError, UnknownArchitectureError } from "../errors.js";
import { type ImageMode, parseImageMode, parsePinpoints } from "../image/image-mode.js";
import { type LlamaConfig, parseLlamaConfig } from "../language/llama-config.js";
import { type ClipConfig, clipGridSide, parseClipConfig } from "../vision/clip.js";
import { parseProjectorType } from "../vision/projector.js";

export type SystemName = "llava" | "llava-next" | "llava-mini" | "avg-llava";

/** Which published layout the folder has; it decides the names of the weights. */
export type CheckpointLayout = "original" | "transformers";

export type LlavaConfig = {
  readonly system: SystemName;
  readonly layout: CheckpointLayout;
  readonly vision: ClipConfig;
  /** Hidden state of the vision tower that is read; negative counts from the end. */
  readonly visionLayer: number;
  /** Whether the class token is kept as a visual token (`cls_patch`). */
  readonly keepsClassToken: boolean;
  readonly projectorLayers: number;
  readonly language: LlamaConfig;
  /** What happens to an image before the processor: centre crop, padding to a square, or tiles. */
  readonly imageMode: ImageMode;
  /** How a video's frame becomes an image: `compat` stretches it to a view by nearest neighbour. */
  readonly frameResize: "compat" | "image";
  /** `flat`: all tiles' tokens in a row; `spatial_unpad`: one lattice, padding removed, newlines added. */
  readonly mergeType: "flat" | "spatial_unpad";
  /** Placeholder id in Hugging Face's layout. */
  readonly imageTokenId?: number;
  /** Hub name of the vision tower, whose folder may hold its config, processor and weights. */
  readonly visionTower?: string;
  /** Upper bound on prompt length that training used; the context length where absent. */
  readonly maxLength: number;
};

const originalFields = z.object({
  mm_projector_type: z.string().default("linear"),
  mm_vision_select_layer: z.int().default(-2),
  mm_vision_select_feature: z.enum(["patch", "cls_patch"]).default("patch"),
  mm_vision_tower: z.string().optional(),
  mm_patch_merge_type: z.string().default("flat"),
  image_aspect_ratio: z.string().default("square"),
  image_grid_pinpoints: z.unknown().optional(),
  tokenizer_model_max_length: z.int().positive().nullish(),
});

const transformersFields = z.object({
  text_config: z.record(z.string(), z.unknown()),
  vision_config: z.unknown().optional(),
  vision_feature_layer: z.int().default(-2),
  vision_feature_select_strategy: z.enum(["default", "full"]).default("default"),
  image_token_index: z.int().optional(),
  image_token_id: z.int().optional(),
  image_grid_pinpoints: z.unknown().optional(),
  projector_hidden_act: z.literal("gelu").default("gelu"),
});

/** What Hugging Face's `LlamaConfig` assumes where a `text_config` is silent. */
const llamaDefaults = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
};

/** The public shapes of vision towers that LLaVA configs name without describing. */
const knownVisionTowers: Readonly<Record<string, object>> = {
  "openai/clip-vit-large-patch14-336": {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 336,
    patch_size: 14,
  },
  "openai/clip-vit-large-patch14": {
    hidden_size: 1024,
    intermediate_size: 4096,
    num_hidden_layers: 24,
    num_attention_heads: 16,
    image_size: 224,
    patch_size: 14,
  },
};

const parseWith = <Schema extends z.ZodType>(schema: Schema, config: unknown): z.infer<Schema> => {
  const parsed = schema.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseLlavaConfig: ${z.prettifyError(parsed.error)}`);
  }
  return parsed.data;
};

const systemOf = (modelType: string, architecture: string, anyres: boolean): SystemName => {
  if (/llava_mini/.test(modelType) || /LlavaMini/.test(architecture)) return "llava-mini";
  if (/llava_next/.test(modelType)) return "llava-next";
  if (/^llava(_llama)?$/.test(modelType)) return anyres ? "llava-next" : "llava";
  throw new UnknownArchitectureError(
    `parseLlavaConfig: model_type must be llava, llava_llama, llava_next or llava_mini_llama, ` +
      `got ${JSON.stringify(modelType)} (${architecture || "no architecture"}); this folder holds another kind of model`,
  );
};

const hasGranularities = ({ vis_token_granularity: list }: Record<string, unknown>): boolean =>
  list !== undefined && list !== null;

/** Throws `ModelConfigError` where a config asks for granularities that its system cannot have. */
export const refuseGranularities = (raw: Record<string, unknown>, reason: string): void => {
  if (!hasGranularities(raw)) return;
  throw new ModelConfigError(
    `parseConfig: ${reason}, got vis_token_granularity ${JSON.stringify(raw.vis_token_granularity)}; leave it out, or use LLaVA in its original layout`,
  );
};

const parseOriginal = (
  raw: Record<string, unknown>,
  towerConfig: unknown,
  modelType: string,
  architecture: string,
): LlavaConfig => {
  const fields = parseWith(originalFields, raw);
  const tower = fields.mm_vision_tower;
  const vision = towerConfig ?? (tower === undefined ? undefined : knownVisionTowers[tower]);
  if (vision === undefined) {
    throw new ModelConfigError(
      `parseLlavaConfig: the shape of the vision tower ${JSON.stringify(tower ?? "")} is not known; ` +
        "put its config.json and preprocessor_config.json into a sub-folder vision_tower/ of the model",
    );
  }
  const ratio = fields.image_aspect_ratio;
  const anyres = ratio === "anyres";
  const language = parseLlamaConfig(raw);
  const base = systemOf(modelType, architecture, anyres);
  if (base === "llava-mini") {
    refuseGranularities(
      raw,
      "granularities pool the tokens that the language model reads, and LLaVA-Mini has fused its few with the question by then",
    );
  }
  return {
    // AVG-LLaVA's checkpoints call themselves LLaVA; the granularities give them away.
    system: hasGranularities(raw) ? "avg-llava" : base,
    layout: "original",
    vision: parseClipConfig(vision),
    visionLayer: fields.mm_vision_select_layer,
    keepsClassToken: fields.mm_vision_select_feature === "cls_patch",
    projectorLayers: parseProjectorType(fields.mm_projector_type),
    language,
    imageMode: parseImageMode(ratio, fields.image_grid_pinpoints),
    frameResize: "image",
    mergeType: /unpad/.test(fields.mm_patch_merge_type) ? "spatial_unpad" : "flat",
    visionTower: tower,
    maxLength: Math.min(
      fields.tokenizer_model_max_length ?? language.contextLength,
      language.contextLength,
    ),
  };
};

const parseTransformers = (
  raw: Record<string, unknown>,
  modelType: string,
  architecture: string,
): LlavaConfig => {
  refuseGranularities(raw, "AVG-LLaVA has no published names in Hugging Face's layout");
  const fields = parseWith(transformersFields, raw);
  const language = parseLlamaConfig({ ...llamaDefaults, ...fields.text_config });
  const next = modelType === "llava_next";
  return {
    system: systemOf(modelType, architecture, next),
    layout: "transformers",
    vision: parseClipConfig(fields.vision_config),
    visionLayer: fields.vision_feature_layer,
    keepsClassToken: fields.vision_feature_select_strategy === "full",
    projectorLayers: 2,
    language,
    // This layout lists pinpoints as (height, width).
    imageMode: next
      ? {
          aspect: "anyres",
          pinpoints: parsePinpoints(fields.image_grid_pinpoints).map(({ width, height }) => ({
            width: height,
            height: width,
          })),
        }
      : { aspect: "square" },
    frameResize: "image",
    mergeType: next ? "spatial_unpad" : "flat",
    imageTokenId: fields.image_token_index ?? fields.image_token_id ?? 32_000,
    maxLength: language.contextLength,
  };
};

/**
 * Reads `config.json` of a LLaVA-1.5, LLaVA-NeXT, AVG-LLaVA or LLaVA-Mini folder. `towerConfig` is the vision
 * tower's own config where the folder has one. Throws `UnknownArchitectureError` or
 * `ModelConfigError`.
 */
export const parseLlavaConfig = (config: unknown, towerConfig?: unknown): LlavaConfig => {
  const raw = parseWith(z.record(z.string(), z.unknown()), config);
  const modelType = typeof raw.model_type === "string" ? raw.model_type : "";
  const architecture = Array.isArray(raw.architectures) ? String(raw.architectures[0] ?? "") : "";
  systemOf(modelType, architecture, false);
  return raw.text_config === undefined
    ? parseOriginal(raw, towerConfig, modelType, architecture)
    : parseTransformers(raw, modelType, architecture);
};

/** Visual tokens of one view. */
export const tokensPerView = (config: LlavaConfig): number =>
  clipGridSide(config.vision) ** 2 + (config.keepsClassToken ? 1 : 0);

/** Grid of a view's patches. */
export const viewGrid = (
  config: LlavaConfig,
): { readonly rows: number; readonly columns: number } => {
  const side = clipGridSide(config.vision);
  return { rows: side, columns: side };
};
