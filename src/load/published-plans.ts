/** What one image becomes in every published system, from its size alone: the table of `saccade plan`. */
import { LimitError, OptionsError, type SaccadeError } from "../errors.js";
import { clipConfig } from "../image/clip-config.js";
import { checkArea, type Size } from "../image/image.js";
import { planViews } from "../image/image-mode.js";
import {
  checkSliceOptions,
  countViewTokens,
  defaultPatchSidePx,
  type GridSize,
  planSlices,
  type SliceOptions,
} from "../image/slice-plan.js";
import type { ImagePlan } from "../image/view-plan.js";
import type { Granularity } from "../reduce/granularity-scaler.js";
import { planGranularTokens } from "../systems/avg-llava.js";
import { type AvgLlavaConfig, parseAvgLlavaConfig } from "../systems/avg-llava-config.js";
import { type LlavaConfig, parseLlavaConfig, viewGrid } from "../systems/llava-config.js";
import { planImageTokens } from "../systems/llava-encoder.js";
import { parseLlavaMiniConfig } from "../systems/llava-mini-config.js";
import { newlineIndex } from "../systems/llava-next.js";
import { publishedSizes } from "./published-sizes.js";

/** A rectangle of cells of a grid. */
export type GridArea = GridSize & { readonly row: number; readonly column: number };

/** One view with its tokens; its size and place are those of `plan.views` at the same index. */
export type PlannedView = {
  /** Patches that the encoder makes of it. */
  readonly patches: GridSize;
  /** Its own tokens in the language model. */
  readonly tokens: number;
  /** Grid that its tokens are of, and which of them are kept; absent where views are fused into one. */
  readonly lattice?: { readonly grid: GridSize; readonly kept: GridArea };
};

export type PublishedPlan = {
  /** Name for machines, as `llava-uhd-v4`. */
  readonly system: string;
  readonly title: string;
  readonly plan: ImagePlan;
  readonly views: readonly PlannedView[];
  /** Tokens of no view alone: newlines between rows, or tokens fused from all views. */
  readonly shared: { readonly kind: "newlines" | "fused"; readonly tokens: number };
  /** Tokens that the language model reads. */
  readonly tokens: number;
};

/** A system that cannot take an image of this size, and why. */
export type RefusedPlan = Pick<PublishedPlan, "system" | "title"> & {
  readonly refusal: SaccadeError;
};

export const isRefused = (planned: PublishedPlan | RefusedPlan): planned is RefusedPlan =>
  "refusal" in planned;

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** Cells of every view that a layout keeps, and its newlines. */
const readLayout = (
  layout: readonly number[],
  numViews: number,
  patches: GridSize,
  grid: GridSize,
): Pick<PublishedPlan, "views" | "shared" | "tokens"> => {
  const perView = grid.rows * grid.columns;
  const kept: number[][] = Array.from({ length: numViews }, () => []);
  for (const index of layout) {
    if (index !== newlineIndex) kept[Math.floor(index / perView)].push(index % perView);
  }
  const views = kept.map((cells): PlannedView => {
    const rows = cells.map((cell) => Math.floor(cell / grid.columns));
    const columns = cells.map((cell) => cell % grid.columns);
    const row = Math.min(...rows, grid.rows);
    const column = Math.min(...columns, grid.columns);
    const area = {
      row,
      column,
      rows: Math.max(...rows, row - 1) + 1 - row,
      columns: Math.max(...columns, column - 1) + 1 - column,
    };
    return { patches, tokens: cells.length, lattice: { grid, kept: area } };
  });
  const newlines = layout.length - sumOf(views.map(({ tokens }) => tokens));
  return { views, shared: { kind: "newlines", tokens: newlines }, tokens: layout.length };
};

/** A planner of one published system. */
type Planner = (image: Size) => Omit<PublishedPlan, "system" | "title">;

const planAs = (image: Size, { vision, imageMode }: LlavaConfig): ImagePlan =>
  planViews(image, clipConfig(vision.imageSizePx), imageMode);

const llava =
  (settings: object): Planner =>
  (image) => {
    const config = parseLlavaConfig(settings);
    const plan = planAs(image, config);
    const grid = viewGrid(config);
    return { plan, ...readLayout(planImageTokens(plan, config), plan.views.length, grid, grid) };
  };

const llavaMini =
  (settings: object): Planner =>
  (image) => {
    const config = parseLlavaMiniConfig(settings);
    const plan = planAs(image, config);
    const patches = viewGrid(config);
    const tokens = config.compressorSide ** 2;
    const isSingle = plan.views.length === 1;
    const views = plan.views.map(() => ({ patches, tokens: isSingle ? tokens : 0 }));
    return { plan, views, shared: { kind: "fused", tokens: isSingle ? 0 : tokens }, tokens };
  };

const avgLlava =
  (config: AvgLlavaConfig, granularity: Granularity): Planner =>
  (image) => {
    const plan = planAs(image, config);
    const layout = planGranularTokens(plan, granularity, config);
    return {
      plan,
      ...readLayout(layout, plan.views.length, viewGrid(config), granularity.grid),
    };
  };

/** Views in units of as many patches as are merged, as LLaVA-UHD v4 is trained. */
const uhd =
  (mergeSide: number, options: SliceOptions): Planner =>
  (image) => {
    const { patchSidePx = defaultPatchSidePx } = options;
    const plan = planSlices(image, { ...options, unitPx: patchSidePx * mergeSide });
    const views = plan.views.map((view): PlannedView => {
      const tokens = countViewTokens(view, { mergeSide });
      const { patches } = view;
      const grid = { rows: patches.rows / mergeSide, columns: patches.columns / mergeSide };
      return { patches, tokens, lattice: { grid, kept: { row: 0, column: 0, ...grid } } };
    });
    const tokens = sumOf(views.map((view) => view.tokens));
    return { plan, views, shared: { kind: "newlines", tokens: 0 }, tokens };
  };

/** Every system in the order of the table: name, title, planner. */
const listSystems = (options: SliceOptions): (readonly [string, string, Planner])[] => {
  const avg = parseAvgLlavaConfig(publishedSizes["avg-llava-7b"]);
  return [
    ["llava-1.5", "LLaVA-1.5", llava(publishedSizes["llava-1.5-7b"])],
    ["llava-next", "LLaVA-NeXT", llava(publishedSizes["llava-next-7b"])],
    ["llava-mini", "LLaVA-Mini", llavaMini(publishedSizes["llava-mini-7b"])],
    ["llava-mini-hd", "LLaVA-Mini-HD", llavaMini(publishedSizes["llava-mini-hd-7b"])],
    ...avg.granularities.map(
      (granularity) =>
        [
          `avg-llava-${granularity.tokens}`,
          `AVG-LLaVA at ${granularity.tokens}`,
          avgLlava(avg, granularity),
        ] as const,
    ),
    ["llava-uhd-v4", "LLaVA-UHD v4, 16x", uhd(4, options)],
    ["llava-uhd-v4-4x", "LLaVA-UHD v4, 4x", uhd(2, options)],
  ];
};

/**
 * Plans an image of `image` pixels for every published system, each by the functions that the system
 * itself plans with. `options` are LLaVA-UHD v4's; its unit follows from how many tokens it merges.
 * A system that cannot take this size says why instead.
 *
 * Throws OptionsError for an image without pixels, or options that no image could be planned with,
 * LimitError above `maxPixels`.
 */
export const planPublished = (
  image: Size,
  options: Omit<SliceOptions, "unitPx"> = {},
): (PublishedPlan | RefusedPlan)[] => {
  checkArea("planPublished", image, options.maxPixels);
  checkSliceOptions(options);
  return listSystems(options).map(([system, title, plan]) => {
    try {
      return { system, title, ...plan(image) };
    } catch (error) {
      if (error instanceof LimitError || error instanceof OptionsError) {
        return { system, title, refusal: error };
      }
      throw error;
    }
  });
};
