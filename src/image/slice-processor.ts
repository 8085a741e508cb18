import { OptionsError } from "../errors.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { createViews } from "./clip-processor.js";
import type { RgbImage } from "./image.js";
import { centredScaling, createLevelTable, type PixelScaling } from "./pixel-scaling.js";
import type { SlicePlan, SliceView } from "./slice-plan.js";

/**
 * Views of any sizes in one row of patches, as the published processors emit them. P is the side of a
 * patch in pixels, N the number of patches of all views.
 */
export type PackedPixels = {
  /** Patch after patch, each view in raster order, the views one after the other: [1, 3, P, N·P]. */
  readonly pixelValues: TensorData<"float32">;
  /** Rows and columns of patches of every view, [V, 2]. */
  readonly targetSizes: TensorData<"int64">;
  /** V, in order. */
  readonly views: readonly SliceView[];
};

/** An image and what becomes of it. */
export type PlannedImage = { readonly image: RgbImage; readonly plan: SlicePlan };

const countPatches = ({ patches }: SliceView): number => patches.rows * patches.columns;

/** Writes `view` [H, W, 3] as patches side by side, from patch `first` of the row on. */
const writePatches = (
  view: RgbImage,
  table: Float32Array,
  target: Float32Array,
  { first, numPatches, side }: { first: number; numPatches: number; side: number },
): void => {
  const columns = view.width / side;
  const rowLength = numPatches * side;
  for (let y = 0; y < view.height; y++) {
    const patchRow = first + Math.floor(y / side) * columns;
    for (let channel = 0; channel < 3; channel++) {
      const start = (channel * side + (y % side)) * rowLength + patchRow * side;
      // A row of pixels of a view is one run of a row of the strip: patches lie side by side.
      for (let x = 0; x < view.width; x++) {
        const level = view.data[(y * view.width + x) * 3 + channel];
        target[start + x] = table[channel * 256 + level];
      }
    }
  }
};

/**
 * The views of all `images` in one row of patches, image after image. Frames of a video are images.
 * Throws OptionsError for no image, patches of different sizes, or a plan for another image size.
 */
export const packViews = (
  images: readonly PlannedImage[],
  scaling: PixelScaling = centredScaling,
): PackedPixels => {
  const [
    {
      plan: { patchSidePx: side },
    } = { plan: { patchSidePx: 0 } },
  ] = images;
  const odd = images.find(({ plan }) => plan.patchSidePx !== side);
  if (side === 0 || odd) {
    throw new OptionsError(
      "packViews: at least one image, all with patches of one size, got " +
        `${odd ? `${side} and ${odd.plan.patchSidePx} pixels` : "no image"}. ` +
        "Plan all images with the same options.",
    );
  }
  const views = images.flatMap(({ plan }) => plan.views);
  const numPatches = views.reduce((sum, view) => sum + countPatches(view), 0);
  const data = new Float32Array(3 * side * numPatches * side);
  const table = createLevelTable(scaling);
  let first = 0;
  for (const { image, plan } of images) {
    for (const [index, view] of createViews(image, plan).entries()) {
      writePatches(view, table, data, { first, numPatches, side });
      first += countPatches(plan.views[index]);
    }
  }
  return {
    pixelValues: float32([1, 3, side, numPatches * side], data),
    targetSizes: int64(
      [views.length, 2],
      views.flatMap(({ patches }) => [patches.rows, patches.columns]),
    ),
    views,
  };
};
