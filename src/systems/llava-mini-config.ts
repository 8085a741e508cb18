import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import type { QueryCompressorConfig } from "../reduce/query-compressor.js";
import { clipGridSide } from "../vision/clip.js";
import { type LlavaConfig, parseLlavaConfig } from "./llava-config.js";

/**
 * Where LLaVA-Mini's paper and released code differ. Released weights need `releasedLlavaMini`, the
 * default; `paperLlavaMini` is for models trained from scratch.
 */
export type LlavaMiniVariant = {
  /** Compress the vision tower's features (released) or the projected ones (paper, section 4.1). */
  readonly compressFrom: "features" | "projected";
  readonly compressorAttention: QueryCompressorConfig["attention"];
  readonly keyPositions: QueryCompressorConfig["keyPositions"];
  /** Whether compressed tokens pass through pre-fusion (released) or around it (paper, Eq. 3). */
  readonly compressedTokens: "fused" | "bypass";
  /**
   * Which text places pre-fusion leaves out: every id <= 0 (released: a genuine token 0 such as
   * Llama-3's "!" too), or placeholders and padding only.
   */
  readonly leftOutOfFusion: "ids-up-to-zero" | "placeholders";
  /** Earlier answers of a conversation: fused (released inference) or raw (as in training). */
  readonly earlierAnswers: "fused" | "raw";
  /**
   * A prompt without an image: straight to the language model (released inference), or fused with a
   * blank image (as released training treats text-only samples).
   */
  readonly textOnlyPrompts: "raw" | "blank-image";
  /**
   * High resolution with `pad`: split the image, then pad each block (released inference), or pad the
   * whole and split that (released training).
   */
  readonly highResolutionPadding: "split-then-pad" | "pad-then-split";
  /** Frames: stretched to the size of a view by nearest neighbour (released), or taken as images. */
  readonly frames: "stretched" | "images";
};

export const releasedLlavaMini: LlavaMiniVariant = {
  compressFrom: "features",
  compressorAttention: "multi-head",
  keyPositions: "resized-queries",
  compressedTokens: "fused",
  leftOutOfFusion: "ids-up-to-zero",
  earlierAnswers: "fused",
  textOnlyPrompts: "raw",
  highResolutionPadding: "split-then-pad",
  frames: "stretched",
};

export const paperLlavaMini: LlavaMiniVariant = {
  compressFrom: "projected",
  compressorAttention: "plain",
  keyPositions: "sin-cos",
  compressedTokens: "bypass",
  leftOutOfFusion: "placeholders",
  earlierAnswers: "raw",
  textOnlyPrompts: "blank-image",
  highResolutionPadding: "pad-then-split",
  frames: "images",
};

export type LlavaMiniConfig = LlavaConfig & {
  readonly system: "llava-mini";
  /** C: an image (or frame) becomes C² tokens of the language model. */
  readonly compressorSide: number;
  readonly prefusionLayers: number;
  /** N: 1 is one view; above, N × N sub-images and the whole image. */
  readonly resolutionRatio: number;
  readonly variant: LlavaMiniVariant;
};

export const isLlavaMini = (config: { readonly system: string }): config is LlavaMiniConfig =>
  config.system === "llava-mini";

const fields = z.object({
  compressor_size: z.int().positive().default(2),
  prefusion_layer_num: z.int().nonnegative().default(4),
  // Training defaults to 2, inference to 1 where the field is absent.
  resolution_ratio: z.int().positive().default(1),
});

/** Reads a `llava_mini_llama` config. Throws `ModelConfigError`. */
export const parseLlavaMiniConfig = (
  config: unknown,
  towerConfig?: unknown,
  variant: LlavaMiniVariant = releasedLlavaMini,
): LlavaMiniConfig => {
  const llava = parseLlavaConfig(config, towerConfig);
  const parsed = fields.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseLlavaMiniConfig: ${z.prettifyError(parsed.error)}`);
  }
  if (llava.system !== "llava-mini" || llava.keepsClassToken) {
    throw new ModelConfigError(
      `parseLlavaMiniConfig: needs a llava_mini_llama config that selects patch features, got ${llava.system}`,
    );
  }
  const resolutionRatio = parsed.data.resolution_ratio;
  const aspect = llava.imageMode.aspect === "pad" ? "pad" : "square";
  return {
    ...llava,
    system: "llava-mini",
    imageMode:
      resolutionRatio === 1
        ? { aspect }
        : { aspect, subImages: { ratio: resolutionRatio, order: variant.highResolutionPadding } },
    frameResize: variant.frames === "stretched" ? "compat" : "image",
    compressorSide: parsed.data.compressor_size,
    prefusionLayers: parsed.data.prefusion_layer_num,
    resolutionRatio,
    variant,
  };
};

/** Views of an image: 1, or N² sub-images and the whole. */
export const viewsPerImage = ({ resolutionRatio }: LlavaMiniConfig): number =>
  resolutionRatio === 1 ? 1 : resolutionRatio ** 2 + 1;

/** Patches that pre-fusion sees of an image: all views' together. */
export const fusedPatches = (config: LlavaMiniConfig): number =>
  viewsPerImage(config) * clipGridSide(config.vision) ** 2;

export const compressorConfig = (config: LlavaMiniConfig): QueryCompressorConfig => ({
  width: config.variant.compressFrom === "features" ? config.vision.width : config.language.width,
  gridSide: config.compressorSide,
  attention: config.variant.compressorAttention,
  keyPositions: config.variant.keyPositions,
});
