/** Views' pixels as the inputs of a packed tower. */
import { OptionsError } from "../errors.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { type PackedTowerConfig, patchGroupNames, rotationNames } from "./packed-tower.js";
import { mergingOrder } from "./patch-order.js";
import { bicubicTaps, bucketTaps, type PositionTaps, type TableSize } from "./position-lookup.js";

/** Groups of views with equally many tokens, and where each view went. */
export type PackLayout = {
  readonly groups: readonly { readonly numViews: number; readonly numTokens: number }[];
  /** For each view as given: its first token in the packed row, and how many it has. */
  readonly views: readonly { readonly firstToken: number; readonly numTokens: number }[];
};

/** Views as a packed tower takes them. */
export type PackedFeeds = PackLayout & { readonly feeds: Record<string, TensorData> };

/**
 * Sorts views into groups of equal length, those of a group in the order given. `mergeLevels`: how
 * often four tokens become one on their way. Throws `OptionsError` for grids that do not divide.
 */
export const planPacking = (grids: readonly TableSize[], mergeLevels: number): PackLayout => {
  const perToken = 4 ** mergeLevels;
  const members = new Map<number, number[]>();
  grids.forEach(({ rows, columns }, view) => {
    const side = 2 ** mergeLevels;
    if (rows % side !== 0 || columns % side !== 0 || rows < 1 || columns < 1) {
      throw new OptionsError(
        `planPacking: the patches of a view must divide into squares of ${side}x${side}, got ${rows}x${columns} (rows x columns); ` +
          `plan views whose sides are multiples of ${side} patches`,
      );
    }
    const numTokens = (rows * columns) / perToken;
    members.set(numTokens, [...(members.get(numTokens) ?? []), view]);
  });
  const views: { firstToken: number; numTokens: number }[] = [];
  let firstToken = 0;
  const groups = [...members].map(([numTokens, indices]) => {
    for (const view of indices) {
      views[view] = { firstToken, numTokens };
      firstToken += numTokens;
    }
    return { numViews: indices.length, numTokens };
  });
  return { groups, views };
};

/** Grid of a view's pixels [C, H, W]. Throws `OptionsError` unless patches fill it. */
export const patchGridOf = (
  { shape }: TensorData<"float32">,
  { numChannels, patchSizePx }: PackedTowerConfig,
): TableSize => {
  const [channels, height, width] = shape;
  if (
    shape.length !== 3 ||
    channels !== numChannels ||
    height % patchSizePx !== 0 ||
    width % patchSizePx !== 0
  ) {
    throw new OptionsError(
      `packViews: a view must be [${numChannels}, height, width] with sides that are multiples of ${patchSizePx} px, got [${shape}]`,
    );
  }
  return { rows: height / patchSizePx, columns: width / patchSizePx };
};

/** Cuts patches out of a view in the given order, into `target` from `offset` on. */
const cutPatches = (
  { data, shape }: TensorData<"float32">,
  order: Int32Array,
  patch: number,
  target: Float32Array,
  offset: number,
): void => {
  const [channels, height, width] = shape;
  const columns = width / patch;
  let next = offset;
  for (const index of order) {
    const top = Math.floor(index / columns) * patch;
    const left = (index % columns) * patch;
    for (let channel = 0; channel < channels; channel += 1) {
      for (let row = 0; row < patch; row += 1) {
        const from = (channel * height + top + row) * width + left;
        target.set(data.subarray(from, from + patch), next);
        next += patch;
      }
    }
  }
};

/** Rows of the position table for every view shape that occurs, computed once each. */
const createTapsCache = ({ positions }: PackedTowerConfig) => {
  const known = new Map<string, PositionTaps>();
  const taps = positions.lookup === "bucket" ? bucketTaps : bicubicTaps;
  return (grid: TableSize): PositionTaps => {
    const key = `${grid.rows}x${grid.columns}`;
    const found = known.get(key) ?? taps(grid, positions.table);
    known.set(key, found);
    return found;
  };
};

/**
 * Angles of 2-D RoPE for a grid of places, as pairs turn: even pairs by the column, odd ones by the
 * row, frequencies `theta^(-4i/E)` (released MoonViT). Cosines and sines [rows · columns, E/2].
 */
const rotationTables = (
  { rows, columns }: TableSize,
  { width, numHeads }: PackedTowerConfig,
  theta: number,
): { cosines: TensorData<"float32">; sines: TensorData<"float32"> } => {
  const headWidth = width / numHeads;
  const half = headWidth / 2;
  const shape = [rows * columns, half];
  const cosines = new Float32Array(elementCount(shape));
  const sines = new Float32Array(cosines.length);
  for (let place = 0; place < rows * columns; place += 1) {
    const [row, column] = [Math.floor(place / columns), place % columns];
    for (let pair = 0; pair < half; pair += 1) {
      const frequency = theta ** ((-4 * Math.floor(pair / 2)) / headWidth);
      const angle = (pair % 2 === 0 ? column : row) * frequency;
      cosines[place * half + pair] = Math.cos(angle);
      sines[place * half + pair] = Math.sin(angle);
    }
  }
  return { cosines: float32(shape, cosines), sines: float32(shape, sines) };
};

/**
 * Packs views, [C, H, W] each, into the inputs that `packedTowerInput` declares; `mergeLevels` as in
 * `planPacking`. Throws `OptionsError` for a view of another shape.
 */
export const packViews = (
  pixels: readonly TensorData<"float32">[],
  config: PackedTowerConfig,
  mergeLevels: number,
): PackedFeeds => {
  const { patchSizePx, numChannels, rotaryTheta } = config;
  const grids = pixels.map((view) => patchGridOf(view, config));
  const layout = planPacking(grids, mergeLevels);
  const perToken = 4 ** mergeLevels;
  const patchElements = numChannels * patchSizePx ** 2;
  const tapsOf = createTapsCache(config);
  const widest = {
    rows: Math.max(0, ...grids.map(({ rows }) => rows)),
    columns: Math.max(0, ...grids.map(({ columns }) => columns)),
  };
  const feeds: Record<string, TensorData> = {};
  layout.groups.forEach(({ numViews, numTokens }, group) => {
    const names = patchGroupNames(group);
    const lead = [numViews, numTokens, perToken];
    const numPatches = elementCount(lead);
    const members = pixels.flatMap((view, index) =>
      layout.views[index].numTokens === numTokens ? [{ view, grid: grids[index] }] : [],
    );
    const patches = new Float32Array(numPatches * patchElements);
    const { numTaps } = tapsOf(members[0].grid);
    const rows = new BigInt64Array(numPatches * numTaps);
    const weights = new Float32Array(numPatches * numTaps);
    const places = new BigInt64Array(numPatches);
    let first = 0;
    for (const { view, grid } of members) {
      const order = mergingOrder(grid.rows, grid.columns, mergeLevels);
      cutPatches(view, order, patchSizePx, patches, first * patchElements);
      const taps = tapsOf(grid);
      order.forEach((index, place) => {
        for (let tap = 0; tap < numTaps; tap += 1) {
          const target = (first + place) * numTaps + tap;
          rows[target] = BigInt(taps.rows[index * numTaps + tap]);
          if (taps.weights) weights[target] = taps.weights[index * numTaps + tap];
        }
        const row = Math.floor(index / grid.columns);
        places[first + place] = BigInt(row * widest.columns + (index % grid.columns));
      });
      first += order.length;
    }
    feeds[names.patches] = float32([...lead, patchElements], patches);
    feeds[names.rows] = { dtype: "int64", shape: [...lead, numTaps], data: rows };
    if (config.positions.lookup === "bicubic") {
      feeds[names.weights] = float32([...lead, numTaps], weights);
    }
    if (rotaryTheta !== undefined) {
      feeds[names.places] = { dtype: "int64", shape: [...lead, 1], data: places };
    }
  });
  if (rotaryTheta !== undefined) {
    const tables = rotationTables(widest, config, rotaryTheta);
    feeds[rotationNames.cosines] = tables.cosines;
    feeds[rotationNames.sines] = tables.sines;
  }
  return { ...layout, feeds };
};
