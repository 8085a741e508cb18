import { OptionsError } from "../errors.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { nextPinpoints } from "./anyres.js";
import { type ClipProcessorConfig, clipConfig, parseClipConfig } from "./clip-config.js";
import { createCanvas, createViews, toPixelValues } from "./clip-processor.js";
import type { RgbImage, Size } from "./image.js";
import { parsePinpoints, planViews } from "./image-mode.js";
import type { ImagePlan } from "./view-plan.js";

/** What a folder of recorded preprocessing results says besides its tensors, as parsed JSON. */
export type RecordedSettings = {
  /** `geometry.json`: `cases` hold the pinpoints of each image and tile. */
  readonly geometry?: unknown;
  /** `preprocessor_config.json`; its sizes are replaced by those in the tensor names. */
  readonly preprocessorConfig?: unknown;
};

/** `{image}.[split{N}x{N}.]{mode}{size}.{result}`. */
const namePattern = /^(\d+)\.(?:split(\d+)x(\d+)\.)?(crop|pad|anyres)(\d+)\.([a-z0-9_.]+)$/;

type RecordedName = {
  readonly imageIndex: number;
  /** N of `split{N}x{N}`; 1 without. */
  readonly ratio: number;
  readonly aspect: "square" | "pad" | "anyres";
  readonly sizePx: number;
  readonly result: string;
};

const parseName = (name: string): RecordedName => {
  const match = namePattern.exec(name);
  const [, image, columns = "1", rows = "1", mode, size, result = ""] = match ?? [];
  const aspect = mode === "pad" || mode === "anyres" ? mode : "square";
  if (!match || columns !== rows || (aspect === "anyres" && columns !== "1")) {
    throw new OptionsError(
      `producePreprocessed: names are like 0.crop336.u8, 0.pad56.pixel_values, ` +
        `0.split2x2.crop56.u8 or 0.anyres56.canvas.u8, got ${name}. Leave this tensor out.`,
    );
  }
  return { imageIndex: +image, ratio: +columns, aspect, sizePx: +size, result };
};

/** Pinpoints of an image at a tile size, from `cases` of geometry.json. */
const findPinpoints = (geometry: unknown, { imageIndex, sizePx }: RecordedName): Size[] => {
  const { cases } = (geometry ?? {}) as { cases?: unknown };
  if (cases === undefined) return nextPinpoints(sizePx);
  const found = (Array.isArray(cases) ? cases : []).find(
    (entry: { file?: unknown; tile?: unknown } | null) =>
      entry?.tile === sizePx && new RegExp(`^image${imageIndex}(?!\\d)`).test(String(entry.file)),
  );
  if (found) return parsePinpoints((found as { pinpoints_wh?: unknown }).pinpoints_wh);
  throw new OptionsError(
    `producePreprocessed: geometry.json has a case for every tiled image, got none for image ` +
      `${imageIndex} at tile ${sizePx}. Add the case with file, tile and pinpoints_wh.`,
  );
};

const planRecorded = (
  image: RgbImage,
  name: RecordedName,
  config: ClipProcessorConfig,
  geometry: unknown,
): ImagePlan => {
  const { aspect, ratio } = name;
  if (aspect === "anyres") {
    return planViews(image, config, { aspect, pinpoints: findPinpoints(geometry, name) });
  }
  return planViews(image, config, { aspect, subImages: { ratio } });
};

/** Mean, sample standard deviation, smallest, largest, [4]; summed in float64. */
export const summarize = (values: Float32Array): TensorData => {
  let sum = 0;
  let smallest = Number.POSITIVE_INFINITY;
  let largest = Number.NEGATIVE_INFINITY;
  for (const value of values) {
    sum += value;
    smallest = Math.min(smallest, value);
    largest = Math.max(largest, value);
  }
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return float32([4], [mean, Math.sqrt(squares / (values.length - 1)), smallest, largest]);
};

/** Rows `rows` of every view and channel: [..., H, W] to [..., R, W]. */
const pickRows = (values: TensorData<"float32">, rows: readonly number[]): TensorData => {
  const [width = 1, height = 1] = values.shape.toReversed();
  if (rows.some((row) => row >= height)) {
    throw new OptionsError(
      `producePreprocessed: rows are below the height ${height}, got ${rows}. Correct the name.`,
    );
  }
  const outer = values.shape.slice(0, -2);
  const picked = new Float32Array(elementCount(outer) * rows.length * width);
  let target = 0;
  for (let plane = 0; plane < elementCount(outer); plane++) {
    for (const row of rows) {
      const from = (plane * height + row) * width;
      picked.set(values.data.subarray(from, from + width), target);
      target += width;
    }
  }
  return float32([...outer, rows.length, width], picked);
};

/** Joins views to one tensor: [V, ...shape], or just `shape` for the single view of `crop` and `pad`. */
const joinViews = <A extends Uint8Array | Float32Array>(
  views: readonly A[],
  joined: A,
  shape: readonly number[],
  isSingle: boolean,
) => {
  let offset = 0;
  for (const view of views) {
    joined.set(view, offset);
    offset += view.length;
  }
  return { shape: isSingle ? shape : [views.length, ...shape], data: joined };
};

const produce = (
  name: string,
  image: RgbImage,
  plan: ImagePlan,
  config: ClipProcessorConfig,
  { result, sizePx, aspect, ratio }: RecordedName,
): TensorData => {
  if (result === "canvas.u8") {
    const { width, height, data } = createCanvas(image, plan);
    return { dtype: "uint8", shape: [height, width, 3], data };
  }
  const isSingle = aspect !== "anyres" && ratio === 1;
  const views = createViews(image, plan);
  const numValues = views.length * 3 * sizePx * sizePx;
  if (result === "u8") {
    const levels = views.map(({ data }) => data);
    const shape = [sizePx, sizePx, 3];
    return { dtype: "uint8", ...joinViews(levels, new Uint8Array(numValues), shape, isSingle) };
  }
  const values = views.map((view) => toPixelValues(view, config));
  const shape = [3, sizePx, sizePx];
  const { data, shape: joined } = joinViews(values, new Float32Array(numValues), shape, isSingle);
  if (result === "pixel_values") return float32(joined, data);
  if (result === "pixel_values_stats") return summarize(data);
  if (result === "pixel_values_full_check_sum") {
    return float32([], [data.reduce((sum, value) => sum + value, 0)]);
  }
  const rows = /^pixel_values_rows((?:_\d+)+)$/.exec(result)?.[1]?.slice(1).split("_").map(Number);
  if (rows) return pickRows(float32(joined, data), rows);
  throw new OptionsError(
    `producePreprocessed: results are u8, canvas.u8, pixel_values, pixel_values_stats, ` +
      `pixel_values_rows_… and pixel_values_full_check_sum, got ${name}. Leave this tensor out.`,
  );
};

/**
 * Our own results for the tensors `names` of a folder of recorded preprocessing, to be compared with
 * it. `images` are the decoded `image{i}_*.png` by their i.
 *
 * - `{i}.crop{S}.…`, `{i}.pad{S}.…`: one view of S x S, processor alone or after padding;
 * - `{i}.split{N}x{N}.crop{S}.…`: LLaVA-Mini's N x N blocks and the whole image;
 * - `{i}.anyres{S}.…`: whole image and tiles; pinpoints from geometry.json, else LLaVA-NeXT's;
 * - `u8` pixels [(V,) S, S, 3], `canvas.u8` what views are cut from [h, w, 3], `pixel_values`
 *   [(V,) 3, S, S], `pixel_values_stats` mean, sample deviation, smallest and largest [4],
 *   `pixel_values_rows_a_b_c` [(V,) 3, 3, S], `pixel_values_full_check_sum` the sum [].
 *
 * Throws OptionsError for a name of another form or an image that is missing.
 */
export const producePreprocessed = (
  images: ReadonlyMap<number, RgbImage>,
  names: readonly string[],
  { geometry, preprocessorConfig }: RecordedSettings = {},
): Map<string, TensorData> => {
  const base = preprocessorConfig === undefined ? undefined : parseClipConfig(preprocessorConfig);
  const results = new Map<string, TensorData>();
  for (const name of names) {
    const parsed = parseName(name);
    const image = images.get(parsed.imageIndex);
    if (!image) {
      throw new OptionsError(
        `producePreprocessed: every image named has its file, got none for ${name}. ` +
          `Add image${parsed.imageIndex}_*.png.`,
      );
    }
    const { resize, crop } = clipConfig(parsed.sizePx);
    const config = { ...(base ?? clipConfig(parsed.sizePx)), resize, crop };
    const plan = planRecorded(image, parsed, config, geometry);
    results.set(name, produce(name, image, plan, config, parsed));
  }
  return results;
};
