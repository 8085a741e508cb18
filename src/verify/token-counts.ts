import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import { planAnyres } from "../image/anyres.js";
import { clipConfig } from "../image/clip-config.js";
import { planGranularities } from "../reduce/granularity-scaler.js";
import { planGranularTokens } from "../systems/avg-llava.js";
import { fixedAvgLlava, releasedAvgLlava } from "../systems/avg-llava-config.js";
import { newlineIndex, planUnpad } from "../systems/llava-next.js";
import { int64, type TensorData } from "../tensor-data.js";
import { compareRecorded, type VerifyResult } from "./verify.js";

const pair = z.tuple([z.int(), z.int()]);

const atGranularity = z.object({
  lattice_rows_cols: pair,
  compat_tokens: z.int(),
  compat_rows: pair,
  compat_cols: pair,
  // Recorded where the corrected rule was looked at.
  fixed_tokens: z.int().optional(),
  fixed_rows: pair.optional(),
  fixed_cols: pair.optional(),
});

const schema = z.object({
  tile: z.int().positive(),
  feature_grid: pair,
  image_grid_pinpoints: z.array(pair),
  images: z.array(
    z.object({
      size: pair,
      best_resolution: pair,
      tile_grid_cols_rows: pair,
      views: z.int(),
      granularity: z.record(z.string().regex(/^\d+$/), atGranularity),
    }),
  ),
});

/** Both ways to read the aspect that unpadding goes by, by their recorded names. */
const variants = { compat: releasedAvgLlava, fixed: fixedAvgLlava } as const;

const parseCounts = (value: unknown): z.infer<typeof schema> => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new ModelConfigError(
    `verifyTokenCounts: token_counts.json must list images with their plans, got ${z.prettifyError(parsed.error)}. Record it again.`,
  );
};

/**
 * Compares planned tokens of LLaVA-NeXT's and AVG-LLaVA's tiled images with recorded ones: for each
 * image a tensor of resolution, grid and views, and for each granularity tokens, newlines, and the rows
 * and columns of the lattice that are kept. Throws `ModelConfigError` for other records.
 */
export const verifyTokenCounts = (counts: unknown): VerifyResult => {
  const {
    tile,
    feature_grid: features,
    image_grid_pinpoints: pinpoints,
    images,
  } = parseCounts(counts);
  const recorded = new Map<string, TensorData>();
  const produced = new Map<string, TensorData>();
  const record = (name: string, expected: readonly number[], own: readonly number[]): void => {
    recorded.set(name, int64([expected.length], expected));
    produced.set(name, int64([own.length], own));
  };
  const sizes = pinpoints.map(([width, height]) => ({ width, height }));
  const grid = { rows: features[0], columns: features[1] };

  for (const image of images) {
    const [width, height] = image.size;
    const plan = planAnyres({ width, height }, clipConfig(tile), sizes);
    const { grid: tiles, canvas } = plan;
    const prefix = `${width}x${height}`;
    record(
      `${prefix}.plan`,
      [...image.best_resolution, ...image.tile_grid_cols_rows, image.views],
      [canvas.width, canvas.height, tiles.columns, tiles.rows, plan.views.length],
    );
    for (const [name, expected] of Object.entries(image.granularity)) {
      const [granularity] = planGranularities([Number(name)], grid);
      const lattice = {
        rows: tiles.rows * granularity.grid.rows,
        columns: tiles.columns * granularity.grid.columns,
      };
      record(`${prefix}.${name}.lattice`, expected.lattice_rows_cols, [
        lattice.rows,
        lattice.columns,
      ]);
      for (const [variantName, variant] of Object.entries(variants)) {
        const key = variantName as keyof typeof variants;
        const tokens = expected[`${key}_tokens`];
        const rows = expected[`${key}_rows`];
        const columns = expected[`${key}_cols`];
        if (tokens === undefined || rows === undefined || columns === undefined) continue;
        const aspect = variant.unpadAspect === "tiles" ? tiles : undefined;
        const kept = planUnpad(plan.image, lattice, aspect);
        const layout = planGranularTokens(plan, granularity, {
          mergeType: "spatial_unpad",
          imageMode: { aspect: "anyres", pinpoints: sizes },
          variant,
        });
        record(
          `${prefix}.${name}.${key}`,
          [tokens, rows[1] - rows[0], ...rows, ...columns],
          [
            layout.length,
            layout.filter((index) => index === newlineIndex).length,
            kept.rows.start,
            kept.rows.end,
            kept.columns.start,
            kept.columns.end,
          ],
        );
      }
    }
  }
  return compareRecorded(recorded, { tensors: produced, inputs: new Set() });
};
