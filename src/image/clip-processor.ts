import { OptionsError } from "../errors.js";
import type { ClipProcessorConfig } from "./clip-config.js";
import { checkImage, cropImage, pasteImage, type RgbImage, type Size } from "./image.js";
import { createLevelTable, type PixelScaling, writePixelValues } from "./pixel-scaling.js";
import { resizeBicubic } from "./resize.js";
import { type ImagePlan, planClip, type ViewPlan, viewSize } from "./view-plan.js";

/** Rescales and normalises: `image` [H, W, 3] in 8 bits to float32 [3, H, W]. */
export const toPixelValues = (image: RgbImage, config: PixelScaling): Float32Array => {
  checkImage("toPixelValues", image);
  const values = new Float32Array(image.data.length);
  writePixelValues(image, createLevelTable(config), values, 0);
  return values;
};

/** The canvas that a plan cuts views from [H, W, 3], or the image itself if it needs none. */
export const createCanvas = (image: RgbImage, plan: ImagePlan): RgbImage => {
  checkImage("createCanvas", image);
  if (image.width !== plan.image.width || image.height !== plan.image.height) {
    throw new OptionsError(
      `createCanvas: the plan is for an image of ${plan.image.width}x${plan.image.height}, got ` +
        `${image.width}x${image.height}. Plan with the size of this image.`,
    );
  }
  if (!plan.canvas) return image;
  return pasteImage(resizeBicubic(image, plan.canvas.resized), plan.canvas, plan.canvas.colour);
};

const createView = (image: RgbImage, canvas: RgbImage, view: ViewPlan): RgbImage => {
  let cut = cropImage(view.source === "canvas" ? canvas : image, view.rect);
  if (view.pad) {
    const { side, left, top, colour } = view.pad;
    cut = pasteImage(cut, { left, top, width: side, height: side }, colour);
  }
  const { resized, output } = view;
  // Only what the crop keeps is computed; what the view has beyond the resized image stays black.
  const left = Math.max(0, output.left);
  const top = Math.max(0, output.top);
  const width = Math.min(resized.width, output.left + output.width) - left;
  const height = Math.min(resized.height, output.top + output.height) - top;
  const kept = resizeBicubic(cut, resized, { left, top, width, height });
  if (width === output.width && height === output.height) return kept;
  return pasteImage(kept, { ...output, left: left - output.left, top: top - output.top });
};

/**
 * The 8-bit pixels of every view of `plan`, each [H, W, 3].
 * Throws OptionsError if the plan is for another image size.
 */
export const createViews = (image: RgbImage, plan: ImagePlan): RgbImage[] => {
  const canvas = createCanvas(image, plan);
  return plan.views.map((view) => createView(image, canvas, view));
};

export type ProcessedViews = Size & {
  /** [V, 3, H, W]. */
  readonly pixelValues: Float32Array;
  /** V, in the order of the plan. */
  readonly views: readonly ViewPlan[];
};

/**
 * Every view of `plan` as the encoder takes it, [V, 3, H, W].
 * Throws OptionsError if the plan is for another image size, or views differ in size.
 */
export const processViews = (
  image: RgbImage,
  plan: ImagePlan,
  config: ClipProcessorConfig,
): ProcessedViews => {
  const { width, height } = viewSize(plan);
  const numValues = 3 * width * height;
  const pixelValues = new Float32Array(plan.views.length * numValues);
  const table = createLevelTable(config);
  for (const [index, view] of createViews(image, plan).entries()) {
    writePixelValues(view, table, pixelValues, index * numValues);
  }
  return { pixelValues, width, height, views: plan.views };
};

/**
 * Hugging Face's `CLIPImageProcessor` on one image (Pillow-exact): resize, centre crop, rescale,
 * normalise. Returns [3, H, W] with the size of the processor's crop.
 */
export const processClip = (image: RgbImage, config: ClipProcessorConfig): Float32Array =>
  processViews(image, planClip(image, config), config).pixelValues;
