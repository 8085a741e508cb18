/** Where visual tokens come from: the view, and the cell of its grid of tokens. */
import type { GridSize } from "../image/slice-plan.js";
import type { ImagePlan } from "../image/view-plan.js";
import { clipGridSide } from "../vision/clip.js";
import { planGranularTokens } from "./avg-llava.js";
import { isAvgLlava } from "./image-layouts.js";
import { type LlavaConfig, tokensPerView, viewGrid } from "./llava-config.js";
import { planImageTokens } from "./llava-encoder.js";
import { isLlavaMini, type LlavaMiniConfig } from "./llava-mini-config.js";
import { newlineIndex } from "./llava-next.js";
import { type LlavaUhdConfig, mergeLevels } from "./llava-uhd-config.js";
import { countUhdTokens, gridsOf, modeOf } from "./llava-uhd-encoder.js";
import type { SystemConfig } from "./system.js";
import type { TokenChoice, TokenRoute } from "./token-choice.js";

/** A cell of a grid. */
export type GridCell = {
  readonly grid: GridSize;
  readonly row: number;
  readonly column: number;
};

export type VisualTokenOrigin = {
  /** Index of the view in the plan; absent for newlines, and for tokens made of all views. */
  readonly view?: number;
  /** Cell of the view that the token stands for; absent where it stands for all of it. */
  readonly cell?: GridCell;
};

/** Cells of a view's grid in raster order. */
const cellsOf = (view: number, grid: GridSize): VisualTokenOrigin[] =>
  Array.from({ length: grid.rows * grid.columns }, (_, index) => ({
    view,
    cell: { grid, row: Math.floor(index / grid.columns), column: index % grid.columns },
  }));

/** Rows of `[V · perView]` as origins; a class token stands for its view. */
const originsOfLayout = (
  layout: readonly number[],
  grid: GridSize,
  hasClassToken = false,
): VisualTokenOrigin[] => {
  const numBefore = hasClassToken ? 1 : 0;
  const perView = grid.rows * grid.columns + numBefore;
  return layout.map((index) => {
    if (index === newlineIndex) return {};
    const view = Math.floor(index / perView);
    const inside = (index % perView) - numBefore;
    if (inside < 0) return { view };
    const [row, column] = [Math.floor(inside / grid.columns), inside % grid.columns];
    return { view, cell: { grid, row, column } };
  });
};

const locateUhdTokens = (
  plan: ImagePlan,
  config: LlavaUhdConfig,
  choice: TokenChoice | undefined,
): VisualTokenOrigin[] => {
  const counts = countUhdTokens(plan, config, choice);
  if (config.vision.connector.kind === "resampler") {
    return counts.flatMap((count, view) => Array.from({ length: count }, () => ({ view })));
  }
  const side = 2 ** mergeLevels(config.vision, modeOf(config, choice));
  return gridsOf(plan, config).flatMap(({ rows, columns }, view) =>
    cellsOf(view, { rows: rows / side, columns: columns / side }),
  );
};

/**
 * Origins of an image's visual tokens in the order in which the language model reads them. `route`:
 * what was chosen for it, where the system has granularities.
 */
export const locateVisualTokens = (
  config: SystemConfig,
  plan: ImagePlan,
  { choice, route }: { readonly choice?: TokenChoice; readonly route?: TokenRoute } = {},
): VisualTokenOrigin[] => {
  if (config.system === "llava-uhd") return locateUhdTokens(plan, config, choice);
  if (isLlavaMini(config)) return Array.from({ length: config.compressorSide ** 2 }, () => ({}));
  if (isAvgLlava(config)) {
    const { granularities } = config;
    const granularity =
      granularities.find(({ tokens }) => tokens === route?.granularity) ??
      granularities[granularities.length - 1];
    return originsOfLayout(planGranularTokens(plan, granularity, config), granularity.grid);
  }
  const hasClassToken = tokensPerView(config) > viewGrid(config).rows * viewGrid(config).columns;
  return originsOfLayout(planImageTokens(plan, config), viewGrid(config), hasClassToken);
};

/**
 * Origins of the patches that LLaVA-Mini's pre-fusion reads: sub-images as one raster, then the whole
 * image. The compressor reads the first of them, all but the whole image where there are sub-images.
 */
export const locateFusedPatches = (config: LlavaMiniConfig): VisualTokenOrigin[] => {
  const side = clipGridSide(config.vision);
  const grid = { rows: side, columns: side };
  const ratio = config.resolutionRatio;
  if (ratio === 1) return cellsOf(0, grid);
  const raster = Array.from({ length: (ratio * side) ** 2 }, (_, index) => {
    const [row, column] = [Math.floor(index / (ratio * side)), index % (ratio * side)];
    const view = Math.floor(row / side) * ratio + Math.floor(column / side);
    return { view, cell: { grid, row: row % side, column: column % side } };
  });
  return [...raster, ...cellsOf(ratio * ratio, grid)];
};

/** How many of an image's tokens follow each other at each of its placeholders in the prompt. */
export const tokensPerPlaceholder = (
  config: LlavaConfig | LlavaUhdConfig,
  origins: readonly VisualTokenOrigin[],
): number[] => {
  if (config.system !== "llava-uhd") return [origins.length];
  const counts: number[] = [];
  for (const { view = 0 } of origins) counts[view] = (counts[view] ?? 0) + 1;
  return counts;
};
