import { ModelConfigError } from "../errors.js";
import { planAnyres } from "./anyres.js";
import type { ClipProcessorConfig } from "./clip-config.js";
import type { Size } from "./image.js";
import { planSubImages, type SubImageOptions } from "./sub-images.js";
import { type ImagePlan, planClip, planPad } from "./view-plan.js";

/** What happens to an image before the processor: `image_aspect_ratio` of the model's config.json. */
export type ImageMode =
  | { readonly aspect: "square" | "pad"; readonly subImages?: SubImageMode }
  | { readonly aspect: "anyres"; readonly pinpoints: readonly Size[] };

/** LLaVA-Mini's high resolution; `order` matters with `pad` only. */
export type SubImageMode = {
  readonly ratio: number;
  /** What the released inference does (default), or what its training did. */
  readonly order?: "split-then-pad" | "pad-then-split";
};

/**
 * The plan of one image: every view with what is cut, padded and resized for it.
 * Throws OptionsError for an empty image, ModelConfigError for pinpoints that do not fit.
 */
export const planViews = (image: Size, config: ClipProcessorConfig, mode: ImageMode): ImagePlan => {
  if (mode.aspect === "anyres") return planAnyres(image, config, mode.pinpoints);
  if (mode.subImages) {
    const { ratio, order = "split-then-pad" } = mode.subImages;
    const padding: SubImageOptions["padding"] = mode.aspect === "pad" ? order : "none";
    return planSubImages(image, config, { ratio, padding });
  }
  return mode.aspect === "pad" ? planPad(image, config) : planClip(image, config);
};

/**
 * `image_aspect_ratio` of a config.json as an image mode; missing or null means `square`, the
 * processor alone. The reference takes every unknown word as `square` too; we refuse it.
 * `pinpoints` are `image_grid_pinpoints`, a list of [width, height] or that list as text.
 *
 * Throws ModelConfigError for an unknown word, or pinpoints that cannot be read.
 */
export const parseImageMode = (aspectRatio: unknown, pinpoints?: unknown): ImageMode => {
  if (aspectRatio === "pad") return { aspect: "pad" };
  if (aspectRatio === "anyres") return { aspect: "anyres", pinpoints: parsePinpoints(pinpoints) };
  if (aspectRatio === undefined || aspectRatio === null || aspectRatio === "square") {
    return { aspect: "square" };
  }
  throw new ModelConfigError(
    `parseImageMode: image_aspect_ratio is square, pad or anyres, got ${JSON.stringify(aspectRatio)}. ` +
      "Correct it in the model's config.json.",
  );
};

/** `[[336, 672], [672, 336]]`, or the same as text, as sizes. Throws ModelConfigError. */
export const parsePinpoints = (pinpoints: unknown): Size[] => {
  const fail = () =>
    new ModelConfigError(
      "parsePinpoints: image_grid_pinpoints is a list of [width, height], got " +
        `${JSON.stringify(pinpoints)?.slice(0, 200)}. Correct it in the model's config.json.`,
    );
  let list = pinpoints;
  if (typeof pinpoints === "string") {
    try {
      // Python writes tuples with round brackets.
      list = JSON.parse(pinpoints.replaceAll("(", "[").replaceAll(")", "]"));
    } catch {
      throw fail();
    }
  }
  if (!Array.isArray(list) || list.length === 0) throw fail();
  return list.map((pair: unknown) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw fail();
    const [width, height] = pair as unknown[];
    const isSide = (side: unknown): side is number =>
      Number.isSafeInteger(side) && Number(side) > 0;
    if (!isSide(width) || !isSide(height)) throw fail();
    return { width, height };
  });
};
