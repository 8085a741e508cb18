/** What a LLaVA-UHD encoder is fed: patches in groups, and the places of a resampler's keys. */
import { input } from "../graph/index.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { countPackedTokens } from "../nn/packed-views.js";
import { sineRows } from "../reduce/resampler.js";
import { int64, type TensorData } from "../tensor-data.js";
import { type PackLayout, type PatchStrip, packPatches } from "../vision/pack-patches.js";
import { type GroupSides, packedTowerInput } from "../vision/packed-tower.js";
import type { UhdVisionInput } from "./llava-uhd.js";
import { mergeLevels, type UhdVisionConfig } from "./llava-uhd-config.js";

const keyNames = { table: "keys.table", columns: "keys.columns", rows: "keys.rows" } as const;

/** Declares the inputs of a graph over groups of views, as numbers or names. */
export const uhdVisionInput = (
  config: UhdVisionConfig,
  groups: readonly GroupSides[],
  mode: DownsampleMode,
): UhdVisionInput => {
  const declared = packedTowerInput(config.tower, groups, 4 ** mergeLevels(config, mode));
  if (config.connector.kind !== "resampler") return declared;
  const numKeys = countPackedTokens(groups);
  return {
    ...declared,
    keys: {
      table: input(keyNames.table, "float32", ["P", config.outWidth / 2]),
      columns: input(keyNames.columns, "int64", [numKeys]),
      rows: input(keyNames.rows, "int64", [numKeys]),
    },
  };
};

/** Indices of the views in the order in which they are packed. */
const viewsInOrder = ({ views }: PackLayout): number[] =>
  views.map((_, view) => view).sort((a, b) => views[a].firstToken - views[b].firstToken);

/** Rows that each view's visual tokens have among those of all views, in raster order. */
export const visualRows = (layout: PackLayout, { connector }: UhdVisionConfig): number[][] => {
  const row = (first: number, length: number): number[] =>
    Array.from({ length }, (_, index) => first + index);
  if (connector.kind === "merger") {
    return layout.views.map(({ firstToken, numTokens }) => row(firstToken, numTokens));
  }
  const { numQueries } = connector;
  const rows: number[][] = [];
  viewsInOrder(layout).forEach((view, rank) => {
    rows[view] = row(rank * numQueries, numQueries);
  });
  return rows;
};

/** Values of those inputs for the views of all strips, and where each view went. */
export const uhdVisionFeeds = (
  strips: readonly PatchStrip[],
  config: UhdVisionConfig,
  mode: DownsampleMode,
): { readonly feeds: Record<string, TensorData>; readonly layout: PackLayout } => {
  const { feeds, ...layout } = packPatches(strips, config.tower, mergeLevels(config, mode));
  if (config.connector.kind !== "resampler") return { feeds, layout };
  const side = 2 ** mergeLevels(config, mode);
  const grids = strips
    .flatMap((strip) => strip.grids)
    .map(({ rows, columns }) => ({ rows: rows / side, columns: columns / side }));
  const places = viewsInOrder(layout).flatMap((view) => {
    const { rows, columns } = grids[view];
    return Array.from({ length: rows * columns }, (_, place) => ({
      column: place % columns,
      row: Math.floor(place / columns),
    }));
  });
  const longest = Math.max(1, ...grids.flatMap(({ rows, columns }) => [rows, columns]));
  return {
    layout,
    feeds: {
      ...feeds,
      [keyNames.table]: sineRows(longest, config.outWidth),
      [keyNames.columns]: int64(
        [places.length],
        places.map(({ column }) => column),
      ),
      [keyNames.rows]: int64(
        [places.length],
        places.map(({ row }) => row),
      ),
    },
  };
};
