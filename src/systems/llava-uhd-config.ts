/** What LLaVA-UHD v4 and MiniCPM-V 4.6 checkpoints say about themselves. */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import {
  type DownsampleMode,
  parseSliceConfig,
  type SliceProcessorConfig,
} from "../image/slice-config.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { parseDecoderConfig } from "../language/qwen.js";
import { type CompressorVariant, compressorVariants } from "../reduce/early-compressor.js";
import { padMarkers, type SliceMarkers, unknownMarkers } from "../text/slice-layout.js";
import { parseMoonvitConfig } from "../vision/moonvit.js";
import { parsePackedClipConfig } from "../vision/packed-clip.js";
import type { PackedTowerConfig } from "../vision/packed-tower.js";
import { parseSiglipConfig } from "../vision/siglip.js";
import { refuseGranularities } from "./llava-config.js";

/** `training`: names of the released training code; `transformers`: `model_type` `minicpmv4_6`. */
export type UhdLayout = "training" | "transformers";

export type ConnectorConfig =
  | { readonly kind: "merger"; readonly numStages: number }
  | { readonly kind: "resampler"; readonly numQueries: number; readonly numHeads: number };

/** The part of a model between pixels and the language model. */
export type UhdVisionConfig = {
  readonly layout: UhdLayout;
  readonly tower: PackedTowerConfig;
  /** The compressor inside the encoder; absent where all merging comes after it. */
  readonly compressor?: {
    readonly variant: CompressorVariant;
    /** Index of the layer whose output is compressed, from 0 on. */
    readonly afterLayer: number;
  };
  readonly connector: ConnectorConfig;
  /** Width of the language model. */
  readonly outWidth: number;
  readonly downsampleMode: DownsampleMode;
};

const variantNames = Object.keys(compressorVariants) as [CompressorVariant, ...CompressorVariant[]];

const fields = z.object({
  model_type: z.string().default(""),
  hidden_size: z.int().positive().optional(),
  text_config: z.looseObject({ hidden_size: z.int().positive().optional() }).optional(),
  vision_config: z.looseObject({ model_type: z.string().optional() }).default({}),
  /** Null or negative: no compressor. */
  insert_layer_id: z.int().nullish(),
  /** One of the variants' names; the paper's own where absent. */
  compressor_type: z.enum(variantNames).default("window-attention-reused-mlp"),
  connector_type: z.enum(["mlp", "resampler"]).default("mlp"),
  merger_times: z.int().min(1).max(2).default(1),
  query_num: z.int().positive().default(64),
  resampler_num_heads: z.int().positive().optional(),
  downsample_mode: z.enum(["16x", "4x"]).default("16x"),
  vision_feature_layer: z.int().optional(),
});

/** Which encoder a `vision_config` describes, by its `model_type`. */
const parseTower = (
  config: { readonly model_type?: string },
  hiddenLayer: number | undefined,
): PackedTowerConfig => {
  const type = config.model_type ?? "siglip";
  if (/moonvit/.test(type)) return parseMoonvitConfig(config);
  if (/^clip/.test(type)) return parsePackedClipConfig(config, hiddenLayer);
  return parseSiglipConfig(config);
};

/** Reads everything but the language model. Throws `ModelConfigError`. */
export const parseUhdVisionConfig = (config: unknown): UhdVisionConfig => {
  const parsed = fields.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseUhdVisionConfig: ${z.prettifyError(parsed.error)}`);
  }
  const { data } = parsed;
  const outWidth = data.text_config?.hidden_size ?? data.hidden_size;
  if (outWidth === undefined) {
    throw new ModelConfigError(
      "parseUhdVisionConfig: hidden_size must give the width of the language model, got none; complete config.json",
    );
  }
  const tower = parseTower(data.vision_config, data.vision_feature_layer);
  // Transformers' own default; elsewhere a compressor must be asked for.
  const inserted =
    data.insert_layer_id === undefined && data.model_type === "minicpmv4_6"
      ? 6
      : (data.insert_layer_id ?? -1);
  if (inserted >= tower.numUsedLayers) {
    throw new ModelConfigError(
      `parseUhdVisionConfig: insert_layer_id must be below the ${tower.numUsedLayers} layers of the vision tower, got ${inserted}; correct config.json`,
    );
  }
  const connector: ConnectorConfig =
    data.connector_type === "mlp"
      ? { kind: "merger", numStages: data.merger_times }
      : {
          kind: "resampler",
          numQueries: data.query_num,
          numHeads: data.resampler_num_heads ?? Math.max(1, Math.floor(outWidth / 128)),
        };
  if (data.downsample_mode === "4x" && connector.kind === "merger" && connector.numStages > 1) {
    throw new ModelConfigError(
      "parseUhdVisionConfig: downsample_mode must be 16x with two mergings after the encoder, got 4x; set merger_times to 1",
    );
  }
  return {
    layout: data.model_type === "minicpmv4_6" ? "transformers" : "training",
    tower,
    ...(inserted >= 0 && {
      compressor: { variant: data.compressor_type, afterLayer: inserted },
    }),
    connector,
    outWidth,
    downsampleMode: data.downsample_mode,
  };
};

/** A whole model: how it takes images, its encoder, its language model. */
export type LlavaUhdConfig = {
  readonly system: "llava-uhd";
  readonly vision: UhdVisionConfig;
  readonly language: LlamaConfig;
  /** How a request's images become views where the folder's processor says nothing else. */
  readonly slicing: SliceProcessorConfig;
  /** Stands for one visual token in a text prompt. */
  readonly markers: SliceMarkers;
  /** Upper bound on prompt length; the context length. */
  readonly maxLength: number;
};

/** What a resampler makes of views, and what their sides must divide by. */
const queriesOf = ({
  connector,
  compressor,
}: UhdVisionConfig): Pick<SliceProcessorConfig, "numQueries" | "queryUnit"> =>
  connector.kind === "resampler"
    ? { numQueries: connector.numQueries, queryUnit: compressor === undefined ? 1 : 2 }
    : {};

/** Whether 4x is anything else than 16x: a compressor can be left out, two mergings after the encoder cannot. */
export const offersFourfold = ({ compressor, connector }: UhdVisionConfig): boolean =>
  connector.kind === "merger" && (compressor !== undefined || connector.numStages === 1);

/** `model_type`s of LLaVA-UHD v4 and its kin. */
const isUhdType = (modelType: unknown): boolean =>
  modelType === "llava_uhd_v4" || modelType === "minicpmv4_6";

export const isUhdModel = (config: unknown): boolean =>
  isUhdType((config as { model_type?: unknown } | null)?.model_type);

/**
 * Reads `config.json` of a folder of the released training code's layout (`llava_uhd_v4`, whose
 * fields of the language model are its own or a `text_config`) or of transformers' (`minicpmv4_6`).
 * Throws `ModelConfigError`, or `UnknownArchitectureError` for a language model of another family.
 */
export const parseLlavaUhdConfig = (config: unknown): LlavaUhdConfig => {
  const vision = parseUhdVisionConfig(config);
  const raw = config as Record<string, unknown>;
  refuseGranularities(
    raw,
    "a router weighs every token of a view's one grid, and thumbnail and slices have grids of their own, other ones in every image",
  );
  // A config of its own says llava_uhd_v4 where a decoder's says its family.
  const own = { ...raw, model_type: raw.text_model_type };
  const isTraining = vision.layout === "training";
  // In transformers' layout the head is tied by the whole model or by its language model.
  const tied = !isTraining && raw.tie_word_embeddings === true && { tie_word_embeddings: true };
  const text = raw.text_config && { ...raw.text_config, ...tied };
  const language = parseDecoderConfig(text ?? own, "qwen3");
  const { numQueries: _, ...slicing } = parseSliceConfig({ config });
  return {
    system: "llava-uhd",
    vision,
    language,
    slicing: {
      ...slicing,
      patchSidePx: vision.tower.patchSizePx,
      ...queriesOf(vision),
    },
    markers: isTraining ? unknownMarkers : padMarkers,
    maxLength: language.contextLength,
  };
};

/** How often four tokens become one between patches and the language model. */
export const mergeLevels = (
  { compressor, connector }: UhdVisionConfig,
  mode: DownsampleMode,
): number => {
  const inside = compressor !== undefined && mode === "16x" ? 1 : 0;
  return inside + (connector.kind === "merger" ? connector.numStages : 0);
};
