import { z } from "zod";
import { ModelConfigError, OptionsError } from "../errors.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { createViews } from "./clip-processor.js";
import type { RgbImage } from "./image.js";
import { summarize } from "./preprocess-recorded.js";
import { countSliceTokens, planSlices, type SlicePlan } from "./slice-plan.js";
import { packViews } from "./slice-processor.js";

const pair = z.tuple([z.int(), z.int()]);
const maybePair = pair.nullish().transform((value) => value ?? [0, 0]);

const slicesSchema = z.object({
  scale_resolution: z.int(),
  images: z.array(
    z.object({
      size_wh: pair,
      plans: z.array(
        z.object({
          max_slice_nums: z.int(),
          unit: z.int(),
          thumbnail_wh: pair,
          grid_cols_rows: maybePair,
          slice_wh: maybePair,
          resized_image_wh: maybePair,
          tokens_thumbnail: z.int(),
          tokens_per_slice: z.int(),
          tokens_total: z.int(),
        }),
      ),
    }),
  ),
});

const geometrySchema = z.object({
  images: z.array(
    z.object({
      file: z.string(),
      max_slice_nums: z.int(),
      scale_resolution: z.int(),
      unit: z.int(),
    }),
  ),
});

const parse = <S extends z.ZodType>(schema: S, json: unknown, name: string): z.infer<S> => {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new ModelConfigError(
    `${name}: records must be complete, got ${z.prettifyError(parsed.error)}. Record them again.`,
  );
};

/** Whether a geometry.json is one of slices: cases of tiling have no slice limit. */
export const isSliceGeometry = (geometry: unknown): boolean =>
  geometrySchema.safeParse(geometry).success;

type Tensors = Map<string, TensorData>;

/** Sizes and counts of a plan in the order of a record, zeros where there are no slices: [11]. */
const factsOf = (plan: SlicePlan, mergeSide: number): TensorData => {
  const [thumbnail, slice] = plan.views;
  const tokens = countSliceTokens(plan, { mergeSide });
  return int64(
    [11],
    [
      thumbnail.output.width,
      thumbnail.output.height,
      plan.grid.columns,
      plan.grid.rows,
      slice?.output.width ?? 0,
      slice?.output.height ?? 0,
      plan.canvas?.width ?? 0,
      plan.canvas?.height ?? 0,
      tokens[0],
      tokens[1] ?? 0,
      tokens.reduce((sum, count) => sum + count, 0),
    ],
  );
};

/**
 * Recorded slice plans (`slices.json`, parsed) and our own: for every image and setting one tensor [11]
 * `{width}x{height}.{max slices}.{unit}` of thumbnail size, grid, slice size, resized size (columns or
 * width first) and tokens of thumbnail, slice and all. Throws ModelConfigError for other records.
 */
export const produceSlicePlans = (json: unknown): { recorded: Tensors; produced: Tensors } => {
  const { scale_resolution: viewSidePx, images } = parse(slicesSchema, json, "slices.json");
  const recorded: Tensors = new Map();
  const produced: Tensors = new Map();
  for (const { size_wh, plans } of images) {
    const [width, height] = size_wh;
    for (const plan of plans) {
      const name = `${width}x${height}.${plan.max_slice_nums}.${plan.unit}`;
      const { thumbnail_wh, grid_cols_rows, slice_wh, resized_image_wh } = plan;
      const sizes = [...thumbnail_wh, ...grid_cols_rows, ...slice_wh, ...resized_image_wh];
      const tokens = [plan.tokens_thumbnail, plan.tokens_per_slice, plan.tokens_total];
      recorded.set(name, int64([11], [...sizes, ...tokens]));
      const own = planSlices(
        { width, height },
        { maxSlices: plan.max_slice_nums, unitPx: plan.unit, viewSidePx },
      );
      produced.set(name, factsOf(own, plan.unit / own.patchSidePx));
    }
  }
  return { recorded, produced };
};

/** [n, H, W, 3], or [H, W, 3] of a single view. */
const joinLevels = (views: readonly RgbImage[], isSingle: boolean): TensorData => {
  const [{ width, height }] = views;
  const data = new Uint8Array(views.length * height * width * 3);
  for (const [index, view] of views.entries()) data.set(view.data, index * view.data.length);
  const shape = [height, width, 3];
  return { dtype: "uint8", shape: isSingle ? shape : [views.length, ...shape], data };
};

/** The first `numPatches` patches of a strip, [3, P, n·P]. */
const firstPatches = (
  { shape, data }: TensorData<"float32">,
  side: number,
  numPatches: number,
): TensorData => {
  const rowLength = shape[3];
  const length = numPatches * side;
  const kept = new Float32Array(3 * side * length);
  for (let row = 0; row < 3 * side; row++) {
    kept.set(data.subarray(row * rowLength, row * rowLength + length), row * length);
  }
  return float32([3, side, length], kept);
};

const namePattern =
  /^(\d+)\.(thumbnail\.(?:u8|packed_first_(\d+)_patches|packed_stats)|slices\.u8)$/;

/**
 * Our own results for the tensors `names` of recorded slice preprocessing, to be compared with it:
 * `{i}.thumbnail.u8` [H, W, 3], `{i}.slices.u8` [n, H, W, 3], `{i}.thumbnail.packed_first_{n}_patches`
 * [3, P, n·P] and `{i}.thumbnail.packed_stats` [4] of the packed thumbnail. `images` are the decoded
 * `image{i}_*` by their i. Throws OptionsError for a name of another form or a missing image.
 */
export const produceSliced = (
  images: ReadonlyMap<number, RgbImage>,
  names: readonly string[],
  geometry: unknown,
): Tensors => {
  const cases = parse(geometrySchema, geometry, "geometry.json").images;
  const results: Tensors = new Map();
  for (const name of names) {
    const [, index = "", result, numPatches] = namePattern.exec(name) ?? [];
    const image = images.get(Number(index));
    const found = cases.find(({ file }) => new RegExp(`^image${index}(?!\\d)`).test(file));
    if (result === undefined || !image || !found) {
      throw new OptionsError(
        `produceSliced: names are like 0.thumbnail.u8 or 0.slices.u8 of an image in geometry.json, got ${name}. ` +
          "Leave this tensor out, or add the image.",
      );
    }
    const plan = planSlices(image, {
      maxSlices: found.max_slice_nums,
      viewSidePx: found.scale_resolution,
      unitPx: found.unit,
    });
    if (result.endsWith(".u8")) {
      const [thumbnail, ...slices] = createViews(image, plan);
      const isThumbnail = result === "thumbnail.u8";
      if (isThumbnail || slices.length > 0) {
        results.set(name, joinLevels(isThumbnail ? [thumbnail] : slices, isThumbnail));
      }
      continue;
    }
    const thumbnail = { ...plan, views: plan.views.slice(0, 1) };
    const { pixelValues } = packViews([{ image, plan: thumbnail }]);
    const isStatistics = numPatches === undefined;
    results.set(
      name,
      isStatistics
        ? summarize(pixelValues.data)
        : firstPatches(pixelValues, plan.patchSidePx, Number(numPatches)),
    );
  }
  return results;
};
