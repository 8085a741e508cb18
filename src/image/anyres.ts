import { ModelConfigError } from "../errors.js";
import type { ClipProcessorConfig } from "./clip-config.js";
import { black, checkSize, type Size } from "./image.js";
import { type ImagePlan, planProcessor, type ViewPlan, wholeOf, wholeSize } from "./view-plan.js";

/** The five resolutions of LLaVA-NeXT and AVG-LLaVA, in tiles; their order decides ties. */
export const nextTileGrids: readonly Size[] = [
  { width: 1, height: 2 },
  { width: 2, height: 1 },
  { width: 2, height: 2 },
  { width: 3, height: 1 },
  { width: 1, height: 3 },
];

/** `nextTileGrids` in pixels, for tiles of `tilePx`. */
export const nextPinpoints = (tilePx: number): Size[] =>
  nextTileGrids.map(({ width, height }) => ({ width: width * tilePx, height: height * tilePx }));

/**
 * The pinpoint that keeps most of the image's pixels, then the one that wastes least, then the first
 * listed (`select_best_resolution` of LLaVA-NeXT).
 * Throws ModelConfigError if there is no pinpoint.
 */
export const chooseResolution = (image: Size, pinpoints: readonly Size[]): Size => {
  checkSize("chooseResolution", image);
  let best: Size | undefined;
  let bestEffective = 0;
  let bestWaste = Number.POSITIVE_INFINITY;
  for (const pinpoint of pinpoints) {
    checkSize("chooseResolution", pinpoint);
    const { width, height } = pinpoint;
    const scale = Math.min(width / image.width, height / image.height);
    const area = Math.trunc(image.width * scale) * Math.trunc(image.height * scale);
    const effective = Math.min(area, image.width * image.height);
    const waste = width * height - effective;
    const isBetter =
      effective > bestEffective || (effective === bestEffective && waste < bestWaste);
    if (!isBetter) continue;
    best = pinpoint;
    bestEffective = effective;
    bestWaste = waste;
  }
  if (!best) {
    throw new ModelConfigError(
      "chooseResolution: at least one pinpoint, got none. Set image_grid_pinpoints in config.json.",
    );
  }
  return wholeSize(best);
};

/** `image` enlarged or shrunk into `target` with its aspect kept; the free side is rounded up. */
export const planFit = (image: Size, target: Size): Size => {
  checkSize("planFit", image);
  checkSize("planFit", target);
  const scaleX = target.width / image.width;
  const scaleY = target.height / image.height;
  if (scaleX < scaleY) {
    const height = Math.min(Math.ceil(image.height * scaleX), target.height);
    return { width: target.width, height };
  }
  const width = Math.min(Math.ceil(image.width * scaleY), target.width);
  return { width, height: target.height };
};

/** A plan of which the tiling can be read: grid, size on the canvas, chosen resolution. */
export type AnyresPlan = ImagePlan & Required<Pick<ImagePlan, "canvas">>;

const readTile = (config: ClipProcessorConfig): number => {
  const { crop, resize } = config;
  if (crop && crop.width === crop.height && resize && "shortestEdge" in resize) return crop.width;
  throw new ModelConfigError(
    "planAnyres: tiles are as large as the processor's square crop_size, and it resizes by the " +
      `shortest edge, got ${JSON.stringify({ resize, crop })}. Use a CLIP processor with both.`,
  );
};

/**
 * `anyres`, the tiling of LLaVA-NeXT (LLaVA-1.6) and AVG-LLaVA (arXiv 2410.02745; `process_anyres_image`):
 * view 0 is the whole image squeezed into a square (aspect lost); the tiles follow row by row, cut
 * from the image fitted into the chosen pinpoint, centred on black. `canvas.resized`, `canvas.left`
 * and `canvas.top` tell what of the grid is image and what is border.
 *
 * Throws ModelConfigError if there is no pinpoint, or one that tiles do not divide.
 */
export const planAnyres = (
  image: Size,
  config: ClipProcessorConfig,
  pinpoints: readonly Size[],
): AnyresPlan => {
  checkSize("planAnyres", image);
  const tile = readTile(config);
  const odd = pinpoints.find(({ width, height }) => width % tile !== 0 || height % tile !== 0);
  if (odd) {
    throw new ModelConfigError(
      `planAnyres: pinpoints are multiples of the tile of ${tile} pixels, got ` +
        `${odd.width}x${odd.height}. Use image_grid_pinpoints and processor of the same model.`,
    );
  }
  const target = chooseResolution(image, pinpoints);
  const resized = planFit(image, target);
  const canvas = {
    ...target,
    colour: black,
    resized,
    left: Math.floor((target.width - resized.width) / 2),
    top: Math.floor((target.height - resized.height) / 2),
  };
  const columns = target.width / tile;
  const rows = target.height / tile;
  // The official code squeezes to size["shortest_edge"] and lets the processor crop afterwards.
  const edge = config.resize && "shortestEdge" in config.resize ? config.resize.shortestEdge : tile;
  const squeezed = planProcessor({ left: 0, top: 0, width: edge, height: edge }, config, "whole");
  const views: ViewPlan[] = [{ ...squeezed, rect: wholeOf(image) }];
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const rect = { left: column * tile, top: row * tile, width: tile, height: tile };
      views.push(planProcessor(rect, config, "part", { source: "canvas" }));
    }
  }
  return { image: wholeSize(image), canvas, views, grid: { columns, rows } };
};
