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

/** Views in one row of patches, as the published processors emit them. */
export type PatchStrip = {
  /** Patch after patch, each view in raster order, the views one after the other: [1, C, P, N·P]. */
  readonly pixelValues: TensorData<"float32">;
  /** Rows and columns of patches of every view. */
  readonly grids: readonly TableSize[];
};

/** Throws `OptionsError` unless the strip holds exactly the patches of its grids. */
const checkStrip = (
  { pixelValues: { shape }, grids }: PatchStrip,
  { numChannels, patchSizePx }: PackedTowerConfig,
): void => {
  const numPatches = grids.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const wanted = [1, numChannels, patchSizePx, numPatches * patchSizePx];
  if (String(shape) === String(wanted)) return;
  throw new OptionsError(
    `packPatches: the ${numPatches} patches of ${grids.length} views must be [${wanted}], got [${shape}]; ` +
      "process the images with the model's own patch size",
  );
};

/** Copies the patches `first + order[i]` of a strip to `target`, channel by channel each. */
const cutPatches = (
  { data, shape }: TensorData<"float32">,
  first: number,
  order: Int32Array,
  target: Float32Array,
  offset: number,
): void => {
  const [, channels, patch, rowLength] = shape;
  let next = offset;
  for (const index of order) {
    const left = (first + index) * patch;
    for (let row = 0; row < channels * patch; row += 1) {
      const from = row * rowLength + left;
      target.set(data.subarray(from, from + patch), next);
      next += patch;
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
 * Packs the views of all strips into the inputs that `packedTowerInput` declares; `mergeLevels` as in
 * `planPacking`, views in the order of the strips. Throws `OptionsError` for a strip of another shape.
 */
export const packPatches = (
  strips: readonly PatchStrip[],
  config: PackedTowerConfig,
  mergeLevels: number,
): PackedFeeds => {
  const { patchSizePx, numChannels, rotaryTheta } = config;
  const views = strips.flatMap((strip) => {
    checkStrip(strip, config);
    let first = 0;
    return strip.grids.map((grid) => {
      const view = { pixelValues: strip.pixelValues, grid, first };
      first += grid.rows * grid.columns;
      return view;
    });
  });
  const layout = planPacking(
    views.map(({ grid }) => grid),
    mergeLevels,
  );
  const perToken = 4 ** mergeLevels;
  const patchElements = numChannels * patchSizePx ** 2;
  const tapsOf = createTapsCache(config);
  const widest = {
    rows: Math.max(0, ...views.map(({ grid }) => grid.rows)),
    columns: Math.max(0, ...views.map(({ grid }) => grid.columns)),
  };
  const feeds: Record<string, TensorData> = {};
  layout.groups.forEach(({ numViews, numTokens }, group) => {
    const names = patchGroupNames(group);
    const lead = [numViews, numTokens, perToken];
    const numPatches = elementCount(lead);
    const members = views.filter((_, index) => layout.views[index].numTokens === numTokens);
    const patches = new Float32Array(numPatches * patchElements);
    const { numTaps } = tapsOf(members[0].grid);
    const rows = new BigInt64Array(numPatches * numTaps);
    const weights = new Float32Array(numPatches * numTaps);
    const places = new BigInt64Array(numPatches);
    let first = 0;
    for (const { pixelValues, grid, first: firstPatch } of members) {
      const order = mergingOrder(grid.rows, grid.columns, mergeLevels);
      cutPatches(pixelValues, firstPatch, order, patches, first * patchElements);
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
