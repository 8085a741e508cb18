import { LimitError, OptionsError } from "../errors.js";
import { exactLog } from "./exact-log.js";
import { black, checkArea, defaultMaxPixels, type Rect, type Size } from "./image.js";
import { roundHalfEven } from "./round-half-even.js";
import { type ImagePlan, type ViewPlan, wholeOf, wholeSize } from "./view-plan.js";

/** How an image becomes views for LLaVA-UHD v4 and the MiniCPM-V family. */
export type SliceOptions = {
  /** `max_slice_nums`: slices at most, besides the thumbnail; 1: no slicing. Default 9. */
  readonly maxSlices?: number;
  /** `scale_resolution`: a view has about the area of a square of this side. Default 448 pixels. */
  readonly viewSidePx?: number;
  /** Default 14. */
  readonly patchSidePx?: number;
  /**
   * The sides of views are multiples of this, a multiple of `patchSidePx`. Default: 4 patches, 56
   * pixels, as every 16x model and MiniCPM-V 4.6 in both modes; LLaVA-UHD v4 trains 4x with 28 and
   * the resampler with 14.
   */
  readonly unitPx?: number;
  /**
   * - `slice` (default): a thumbnail and slices, §2.1 "slice encoding";
   * - `global`: one view of the whole image, of at most the area of `maxSlices` views.
   */
  readonly encoding?: "slice" | "global";
  /** The long side over the short one at most. Default 200. */
  readonly maxAspectRatio?: number;
  /** Default 178,956,970, as everywhere. */
  readonly maxPixels?: number;
};

/** Rows and columns of patches or of slices. */
export type GridSize = { readonly rows: number; readonly columns: number };

/** One view; role `whole` is the thumbnail (or the only view), `part` a slice. */
export type SliceView = ViewPlan & {
  /** Patches of the view, `target_sizes` of the published processors. */
  readonly patches: GridSize;
};

/**
 * The plan of one image: the thumbnail first, then the slices row by row, left to right. Views have
 * different sizes: the thumbnail one, all slices another. `output` of a view is its size in pixels,
 * `grid` how the slices lie (0 x 0 without slices).
 */
export type SlicePlan = Omit<ImagePlan, "views"> & {
  readonly views: readonly SliceView[];
  readonly patchSidePx: number;
};

/** How many visual tokens a view gives: squares of patches merged into one, or learned queries. */
export type ViewReduction = { readonly mergeSide: number } | { readonly numQueries: number };

/** 16 patches to a token: the compressor inside the encoder, then the connector after it. */
export const merge16: ViewReduction = { mergeSide: 4 };
/** 4 patches to a token: the connector alone. */
export const merge4: ViewReduction = { mergeSide: 2 };

export const defaultMaxAspectRatio = 200;

/**
 * Tokens that a view gives after `reduction`.
 * Throws OptionsError if the patches do not divide into squares of `mergeSide`.
 */
export const countViewTokens = (
  { patches }: Pick<SliceView, "patches">,
  reduction: ViewReduction,
): number => {
  if ("numQueries" in reduction) return reduction.numQueries;
  const { mergeSide } = reduction;
  const { rows, columns } = patches;
  if (
    Number.isSafeInteger(mergeSide) &&
    mergeSide > 0 &&
    !(rows % mergeSide || columns % mergeSide)
  )
    return (rows / mergeSide) * (columns / mergeSide);
  throw new OptionsError(
    `countViewTokens: the patches of a view divide into squares of ${mergeSide}x${mergeSide}, got ` +
      `${rows}x${columns} (rows x columns). Plan with a unitPx of ${mergeSide} patches.`,
  );
};

/** Tokens of every view of a plan, in its order. Throws as `countViewTokens`. */
export const countSliceTokens = (
  plan: Pick<SlicePlan, "views">,
  reduction: ViewReduction,
): number[] => plan.views.map((view) => countViewTokens(view, reduction));

type SliceRule = Required<SliceOptions>;

export const defaultPatchSidePx = 14;

const readRule = (options: SliceOptions): SliceRule => {
  const patchSidePx = options.patchSidePx ?? defaultPatchSidePx;
  return {
    maxSlices: options.maxSlices ?? 9,
    viewSidePx: options.viewSidePx ?? 448,
    patchSidePx,
    unitPx: options.unitPx ?? 4 * patchSidePx,
    encoding: options.encoding ?? "slice",
    maxAspectRatio: options.maxAspectRatio ?? defaultMaxAspectRatio,
    maxPixels: options.maxPixels ?? defaultMaxPixels,
  };
};

/** Checks what `planSlices` is asked for, whatever the image. Throws OptionsError. */
export const checkSliceOptions = (options: SliceOptions): void => {
  const rule = readRule(options);
  for (const name of ["maxSlices", "viewSidePx", "patchSidePx", "unitPx"] as const) {
    if (Number.isSafeInteger(rule[name]) && rule[name] > 0) continue;
    throw new OptionsError(
      `planSlices: ${name} is a whole number of at least 1, got ${rule[name]}. ` +
        (name === "maxSlices" ? "Use 1 for no slices." : "Take it from the model's config.json."),
    );
  }
  if (rule.unitPx % rule.patchSidePx !== 0) {
    throw new OptionsError(
      `planSlices: unitPx is a multiple of the patch of ${rule.patchSidePx} pixels, got ` +
        `${rule.unitPx}. Use the patch times the side of the squares that are merged.`,
    );
  }
};

const checkImageSize = (image: Size, { maxAspectRatio, maxPixels }: SliceRule): void => {
  checkArea("planSlices", image, maxPixels);
  const { width, height } = image;
  if (Math.max(width, height) <= maxAspectRatio * Math.min(width, height)) return;
  throw new LimitError(
    `planSlices: the long side is at most ${maxAspectRatio} times the short one, got ` +
      `${width}x${height}. Cut the image into parts, or raise maxAspectRatio.`,
  );
};

const snap = (side: number, unit: number): number =>
  Math.max(roundHalfEven(side / unit) * unit, unit);

/** `size` with its aspect, of the area of a square of `side` if larger or `upscale`, in units. */
const fitArea = ({ width, height }: Size, side: number, unit: number, upscale: boolean): Size => {
  if (!upscale && width * height <= side * side) {
    return { width: snap(width, unit), height: snap(height, unit) };
  }
  const aspect = width / height;
  // The width follows the height that was cut to a whole number, as released.
  const fitted = Math.trunc(side / Math.sqrt(aspect));
  return { width: snap(Math.trunc(fitted * aspect), unit), height: snap(fitted, unit) };
};

/** The grid of `numSlices - 1` to `numSlices + 1` slices whose aspect is nearest to the image's. */
const chooseGrid = (image: Size, numSlices: number, maxSlices: number): GridSize => {
  const logAspect = exactLog(image.width / image.height);
  let best: GridSize = { rows: 1, columns: 1 };
  let smallest = Number.POSITIVE_INFINITY;
  for (const count of [numSlices - 1, numSlices, numSlices + 1]) {
    if (count === 1 || count > maxSlices) continue;
    for (let columns = 1; columns <= count; columns++) {
      if (count % columns !== 0) continue;
      const rows = count / columns;
      const distance = Math.abs(logAspect - exactLog(columns / rows));
      if (distance >= smallest) continue;
      smallest = distance;
      best = { rows, columns };
    }
  }
  return best;
};

const planView = (
  role: ViewPlan["role"],
  source: ViewPlan["source"],
  rect: Rect,
  { width, height }: Size,
  patchSidePx: number,
): SliceView => ({
  role,
  source,
  rect,
  resized: { width, height },
  output: { left: 0, top: 0, width, height },
  patches: { rows: height / patchSidePx, columns: width / patchSidePx },
});

/**
 * The views of an image of `image` pixels: LLaVA-UHD v4 (arXiv 2605.08985 §2.1), with the rounding of
 * the released planner. An image of at most one view's area is one view, enlarged to it; a larger one
 * is a thumbnail of that area and `maxSlices` slices at most, cut from the original resized once.
 *
 * Throws OptionsError for an option that is no whole number of at least 1 or units that patches do
 * not divide, LimitError above `maxPixels` or `maxAspectRatio`.
 */
export const planSlices = (image: Size, options: SliceOptions = {}): SlicePlan => {
  checkSliceOptions(options);
  const rule = readRule(options);
  checkImageSize(image, rule);
  const { maxSlices, viewSidePx, patchSidePx, unitPx } = rule;
  const whole = (size: Size) => planView("whole", "image", wholeOf(image), size, patchSidePx);
  const single = (size: Size): SlicePlan => ({
    image: wholeSize(image),
    views: [whole(size)],
    grid: { columns: 0, rows: 0 },
    patchSidePx,
  });
  if (rule.encoding === "global") {
    return single(fitArea(image, viewSidePx * Math.sqrt(maxSlices), unitPx, false));
  }
  const numViewAreas = (image.width * image.height) / (viewSidePx * viewSidePx);
  const numSlices = Math.min(Math.ceil(numViewAreas), maxSlices);
  if (numSlices <= 1) return single(fitArea(image, viewSidePx, unitPx, true));

  const { rows, columns } = chooseGrid(image, numSlices, maxSlices);
  const cell = {
    width: snap(image.width, columns) / columns,
    height: snap(image.height, rows) / rows,
  };
  const { width, height } = fitArea(cell, viewSidePx, unitPx, true);
  const resized = { width: width * columns, height: height * rows };
  const views = [whole(fitArea(image, viewSidePx, unitPx, false))];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const rect = { left: column * width, top: row * height, width, height };
      views.push(planView("part", "canvas", rect, rect, patchSidePx));
    }
  }
  const canvas = { ...resized, colour: black, resized, left: 0, top: 0 };
  return { image: wholeSize(image), canvas, views, grid: { columns, rows }, patchSidePx };
};
