import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import type { Size } from "./image.js";
import type { PixelScaling } from "./pixel-scaling.js";

/** Settings of a CLIP image processor, from `preprocessor_config.json`. */
export type ClipProcessorConfig = {
  /** The shortest edge becomes this (aspect kept), or the exact size (aspect lost); null: no resize. */
  readonly resize: { readonly shortestEdge: number } | Size | null;
  /** Centre crop, padded with black where the image is smaller; null: no crop. */
  readonly crop: Size | null;
} & PixelScaling;

export type RgbStatistics = readonly [number, number, number];

/** The mean and deviation of OpenAI's CLIP models. */
export const clipMean: RgbStatistics = [0.48145466, 0.4578275, 0.40821073];
export const clipStd: RgbStatistics = [0.26862954, 0.26130258, 0.27577711];

/** The settings of `openai/clip-vit-large-patch14-336` at another view size, in pixels. */
export const clipConfig = (sizePx: number): ClipProcessorConfig => ({
  resize: { shortestEdge: sizePx },
  crop: { width: sizePx, height: sizePx },
  rescaleFactor: 1 / 255,
  normalize: { mean: clipMean, std: clipStd },
});

const side = z.int().positive().max(65_535);
const rectangle = z.object({ height: side, width: side });
const statistics = z.tuple([z.number(), z.number(), z.number()]).readonly();

const schema = z.object({
  image_processor_type: z
    .enum(["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPFeatureExtractor"])
    .optional(),
  do_resize: z.boolean().default(true),
  size: z
    .union([side, z.object({ shortest_edge: side }), rectangle])
    .default({ shortest_edge: 224 }),
  resample: z.int().default(3),
  do_center_crop: z.boolean().default(true),
  crop_size: z.union([side, rectangle]).default(224),
  do_rescale: z.boolean().default(true),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  do_normalize: z.boolean().default(true),
  image_mean: statistics.default(clipMean),
  image_std: statistics
    .refine((std) => std.every((value) => value > 0), "every deviation is above 0")
    .default(clipStd),
});

const parseResize = (size: z.infer<typeof schema>["size"]): ClipProcessorConfig["resize"] => {
  if (typeof size === "number") return { shortestEdge: size };
  if ("shortest_edge" in size) return { shortestEdge: size.shortest_edge };
  return { width: size.width, height: size.height };
};

/**
 * Reads the content of a `preprocessor_config.json` (already parsed from JSON). Missing fields take
 * Hugging Face's defaults for `CLIPImageProcessor`; `size` and `crop_size` may be plain numbers, as
 * in files of before 2022. `do_convert_rgb` needs nothing: our images are RGB.
 *
 * Throws ModelConfigError for another processor, a filter other than bicubic (`resample` 3) or a
 * value of the wrong kind.
 */
export const parseClipConfig = (json: unknown): ClipProcessorConfig => {
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new ModelConfigError(
      `parseClipConfig: ${issue?.path.join(".") || "preprocessor_config.json"}: ${issue?.message}. ` +
        "Use the preprocessor_config.json of a CLIP model.",
    );
  }
  const { data } = parsed;
  if (data.do_resize && data.resample !== 3) {
    throw new ModelConfigError(
      `parseClipConfig: resample is 3 (bicubic), got ${data.resample}. ` +
        "Set it to 3, if the model may be used with bicubic resizing.",
    );
  }
  const crop =
    typeof data.crop_size === "number"
      ? { width: data.crop_size, height: data.crop_size }
      : { width: data.crop_size.width, height: data.crop_size.height };
  return {
    resize: data.do_resize ? parseResize(data.size) : null,
    crop: data.do_center_crop ? crop : null,
    rescaleFactor: data.do_rescale ? data.rescale_factor : null,
    normalize: data.do_normalize ? { mean: data.image_mean, std: data.image_std } : null,
  };
};
