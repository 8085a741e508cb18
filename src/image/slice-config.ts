import { z } from "zod";
import { ModelConfigError, OptionsError } from "../errors.js";
import type { RgbStatistics } from "./clip-config.js";
import type { PixelScaling } from "./pixel-scaling.js";
import { merge4, merge16, type SliceOptions, type ViewReduction } from "./slice-plan.js";

/** Patches to a token: 16 with the compressor inside the encoder, 4 without it. */
export type DownsampleMode = "16x" | "4x";

export const downsampleModes: readonly DownsampleMode[] = ["16x", "4x"];

/** How a model of the LLaVA-UHD and MiniCPM-V family takes images, from its settings files. */
export type SliceProcessorConfig = {
  readonly maxSlices: number;
  readonly viewSidePx: number;
  readonly patchSidePx: number;
  readonly downsampleMode: DownsampleMode;
  /**
   * Where 4x rounds the sides of views: to 4 patches as in 16x (`compat`: MiniCPM-V 4.6 in
   * transformers), or to 2 patches (`paper`: as LLaVA-UHD v4 is trained).
   */
  readonly fourfoldUnit: "compat" | "paper";
  /** Learned queries per view of a resampler; then views are rounded to patches. */
  readonly numQueries?: number;
  /** Patches whose multiples the sides of its views are: 1, or 2 with a compressor before the resampler. */
  readonly queryUnit?: 1 | 2;
  /** Absent: slices. */
  readonly encoding?: SliceOptions["encoding"];
  /** Whether prompts number their images. */
  readonly usesImageIds: boolean;
  readonly scaling: PixelScaling;
};

/** What one request may ask for in place of the model's own settings. */
export type SliceRequest = Pick<SliceOptions, "encoding" | "maxAspectRatio" | "maxPixels"> & {
  readonly maxSlices?: number;
  readonly downsampleMode?: DownsampleMode;
};

/** The settings of the files of a model folder, as parsed JSON; each may be missing. */
export type SliceSettings = {
  /** preprocessor_config.json */
  readonly preprocessorConfig?: unknown;
  /** processor_config.json, whose `image_processor` newer folders use. */
  readonly processorConfig?: unknown;
  /** config.json: `slice_config` and `downsample_mode`. */
  readonly config?: unknown;
};

const count = z.int().positive().max(65_535);
const statistics = z.tuple([z.number(), z.number(), z.number()]).readonly();
const deviations = statistics.refine(
  (std) => std.every((value) => value > 0),
  "every deviation is above 0",
);

const schema = z.object({
  image_processor_type: z
    .string()
    .regex(/^MiniCPMV(4_6)?ImageProcessor(Fast|Pil)?$/, "is a MiniCPM-V image processor")
    .optional(),
  max_slice_nums: count.default(9),
  scale_resolution: count.default(448),
  patch_size: count.default(14),
  slice_mode: z.boolean().default(true),
  // Our own field: the paper's "global encoding" (section 2.1) has none.
  encoding: z.enum(["slice", "global"]).optional(),
  downsample_mode: z.enum(["16x", "4x"]).default("16x"),
  use_image_id: z.boolean().default(true),
  do_resize: z.literal(true).default(true),
  resample: z.literal(3).default(3),
  do_rescale: z.boolean().default(true),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: statistics.optional(),
  image_std: deviations.optional(),
  // Names of the files of MiniCPM-V 2 to 4.5.
  norm_mean: statistics.optional(),
  norm_std: deviations.optional(),
  image_feature_size: count.optional(),
  query_num: count.optional(),
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const objectOf = (value: unknown, name: string): Record<string, unknown> => {
  if (value === undefined) return {};
  if (isObject(value)) return value;
  throw new ModelConfigError(
    `parseSliceConfig: ${name} holds a JSON object, got ${JSON.stringify(value)}. Write it again.`,
  );
};

/** Later files win: the model's own config, then the processor's, then the image processor's. */
const mergeSettings = ({ preprocessorConfig, processorConfig, config }: SliceSettings) => {
  const model = objectOf(config, "config.json");
  const { downsample_mode, query_num } = model;
  const processor = objectOf(processorConfig, "processor_config.json");
  return {
    ...(downsample_mode !== undefined && { downsample_mode }),
    ...(query_num !== undefined && model.model_type !== "minicpmv4_6" && { query_num }),
    ...objectOf(model.slice_config, "slice_config of config.json"),
    ...objectOf(processor.image_processor, "image_processor of processor_config.json"),
    ...objectOf(preprocessorConfig, "preprocessor_config.json"),
  };
};

const half: RgbStatistics = [0.5, 0.5, 0.5];

/**
 * Reads how a model takes images. Missing fields take the published defaults. Folders that transformers
 * reads (`MiniCPMV4_6ImageProcessor`) round 4x views to 4 patches, others to 2.
 *
 * Throws ModelConfigError for another processor, a filter other than bicubic, no resizing, or a value
 * of the wrong kind.
 */
export const parseSliceConfig = (settings: SliceSettings): SliceProcessorConfig => {
  const parsed = schema.safeParse(mergeSettings(settings));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ModelConfigError(
      `parseSliceConfig: ${issue?.path.join(".")}: ${issue?.message}. ` +
        "Use the preprocessor_config.json of a MiniCPM-V or LLaVA-UHD model.",
    );
  }
  const { data } = parsed;
  const type = data.image_processor_type ?? "";
  const modelType = isObject(settings.config) ? settings.config.model_type : undefined;
  const isTransformers = type.startsWith("MiniCPMV4_6") || modelType === "minicpmv4_6";
  const numQueries = data.image_feature_size ?? data.query_num;
  return {
    maxSlices: data.slice_mode ? data.max_slice_nums : 1,
    viewSidePx: data.scale_resolution,
    patchSidePx: data.patch_size,
    downsampleMode: data.downsample_mode,
    fourfoldUnit: isTransformers ? "compat" : "paper",
    ...(numQueries !== undefined && { numQueries }),
    ...(data.encoding !== undefined && { encoding: data.encoding }),
    usesImageIds: data.use_image_id,
    scaling: {
      rescaleFactor: data.do_rescale ? data.rescale_factor : null,
      normalize: data.do_normalize
        ? {
            mean: data.image_mean ?? data.norm_mean ?? half,
            std: data.image_std ?? data.norm_std ?? half,
          }
        : null,
    },
  };
};

/** Patches on a side of the square whose multiples the sides of views are. */
const unitPatches = (
  { numQueries, queryUnit = 1, fourfoldUnit }: SliceProcessorConfig,
  mode: DownsampleMode,
): number => {
  if (numQueries !== undefined) return queryUnit;
  return mode === "4x" && fourfoldUnit === "paper" ? 2 : 4;
};

/**
 * What `planSlices` and `countViewTokens` need for one request to a model.
 * Throws OptionsError for a mode that is neither 16x nor 4x, or asked of a resampler.
 */
export const resolveSlicing = (
  config: SliceProcessorConfig,
  { maxSlices, downsampleMode, ...limits }: SliceRequest = {},
): { readonly options: SliceOptions; readonly reduction: ViewReduction } => {
  const { patchSidePx, viewSidePx, numQueries, encoding } = config;
  const mode = downsampleMode ?? config.downsampleMode;
  if (!downsampleModes.includes(mode) || (numQueries !== undefined && downsampleMode)) {
    throw new OptionsError(
      "resolveSlicing: downsampleMode is 16x or 4x, and a resampler has none, got " +
        `${JSON.stringify(mode)}${numQueries === undefined ? "" : " for a resampler"}. Leave it out.`,
    );
  }
  return {
    options: {
      ...(encoding !== undefined && { encoding }),
      ...limits,
      maxSlices: maxSlices ?? config.maxSlices,
      viewSidePx,
      patchSidePx,
      unitPx: patchSidePx * unitPatches(config, mode),
    },
    reduction: numQueries === undefined ? (mode === "4x" ? merge4 : merge16) : { numQueries },
  };
};
