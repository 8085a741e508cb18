import { OptionsError } from "../errors.js";
import type { ClipProcessorConfig } from "./clip-config.js";
import { checkSize, type Size } from "./image.js";
import {
  type CanvasPlan,
  type ImagePlan,
  padColour,
  planClip,
  planPad,
  planProcessor,
  planSquare,
  type ViewPlan,
  wholeOf,
  wholeSize,
} from "./view-plan.js";

export type SubImageOptions = {
  /** `resolution_ratio` N: N x N blocks, then the whole image. 1: the whole image alone. */
  readonly ratio: number;
  /**
   * How blocks meet `image_aspect_ratio: pad`:
   * - `none` (default): no padding;
   * - `split-then-pad`: each block and the whole image padded on its own (released inference);
   * - `pad-then-split`: the image padded to a square, then cut (released training).
   */
  readonly padding?: "none" | "split-then-pad" | "pad-then-split";
};

/**
 * LLaVA-Mini's high-resolution views (arXiv 2501.03895 §4.2; `split_image` of the official code):
 * N x N blocks of floor(W / N) x floor(H / N) pixels row by row, remainder pixels at the right and
 * bottom dropped, then the whole image last; each goes through the processor on its own.
 *
 * Throws OptionsError for a ratio below 1 or an image with a side below N pixels.
 */
export const planSubImages = (
  image: Size,
  config: ClipProcessorConfig,
  { ratio, padding = "none" }: SubImageOptions,
): ImagePlan => {
  checkSize("planSubImages", image);
  if (!Number.isSafeInteger(ratio) || ratio < 1) {
    throw new OptionsError(
      `planSubImages: the ratio is a whole number of at least 1, got ${ratio}. ` +
        "Take resolution_ratio from the model's config.json.",
    );
  }
  // The official code takes a ratio of 1 as "no split": one view, not two equal ones.
  if (ratio === 1) return padding === "none" ? planClip(image, config) : planPad(image, config);

  const square = padding === "pad-then-split" ? planSquare(image, padColour(config)) : undefined;
  const canvas: CanvasPlan | undefined = square && {
    width: square.side,
    height: square.side,
    colour: square.colour,
    resized: wholeSize(image),
    left: square.left,
    top: square.top,
  };
  const split: Size = canvas ?? image;
  const width = Math.floor(split.width / ratio);
  const height = Math.floor(split.height / ratio);
  if (width === 0 || height === 0) {
    throw new OptionsError(
      `planSubImages: ${ratio}x${ratio} blocks need ${ratio} pixels on each side, got ` +
        `${image.width}x${image.height}. Use a smaller ratio or enlarge the image.`,
    );
  }
  const plan = (rect: ReturnType<typeof wholeOf>, role: ViewPlan["role"]): ViewPlan => {
    const pad = padding === "split-then-pad" ? planSquare(rect, padColour(config)) : undefined;
    const source = canvas ? "canvas" : "image";
    return planProcessor(rect, config, role, { source, ...(pad && { pad }) });
  };
  const views: ViewPlan[] = [];
  for (let row = 0; row < ratio; row++) {
    for (let column = 0; column < ratio; column++) {
      views.push(plan({ left: column * width, top: row * height, width, height }, "part"));
    }
  }
  views.push(plan(wholeOf(split), "whole"));
  return {
    image: wholeSize(image),
    ...(canvas && { canvas }),
    views,
    grid: { columns: ratio, rows: ratio },
  };
};
