/**
 * LLaVA-NeXT's way to lay out an image in tiles (Liu et al. 2024, "LLaVA-NeXT: Improved reasoning,
 * OCR, and world knowledge"; released code `prepare_inputs_labels_for_multimodal`, `spatial_unpad`):
 * the whole image's tokens, then all tiles as one lattice without its padding, a newline after each row.
 */
import type { Size } from "../image/image.js";
import type { ImagePlan } from "../image/view-plan.js";

export type Range = { readonly start: number; readonly end: number };

/** Rows and columns of a lattice of tokens. */
export type Lattice = { readonly rows: number; readonly columns: number };

/**
 * Which rows and columns of a lattice hold image and not padding. The arithmetic is that of the
 * released code, in this order: its truncations decide counts.
 *
 * The released code takes the lattice's own aspect for that of the tiles, which is wrong where cells
 * are not square: AVG-LLaVA's 288 and 72 tokens lose half of their rows. With `tiles`, the grid of
 * tiles, the aspect is read off that.
 */
export const planUnpad = (
  image: Size,
  { rows, columns }: Lattice,
  tiles?: Lattice,
): { rows: Range; columns: Range } => {
  const aspect = tiles ?? { rows, columns };
  // Sides that the lattice would have if its cells were squares.
  const columnsOfRows = tiles ? tiles.columns * (rows / tiles.rows) : columns;
  const rowsOfColumns = tiles ? tiles.rows * (columns / tiles.columns) : rows;
  if (image.width / image.height > aspect.columns / aspect.rows) {
    const kept = Math.trunc(image.height * (columnsOfRows / image.width));
    const cut = Math.floor((rows - kept) / 2);
    return { rows: { start: cut, end: rows - cut }, columns: { start: 0, end: columns } };
  }
  const kept = Math.trunc(image.width * (rowsOfColumns / image.height));
  const cut = Math.floor((columns - kept) / 2);
  return { rows: { start: 0, end: rows }, columns: { start: cut, end: columns - cut } };
};

/** A row of the layout that is the learned newline, not a token of a view. */
export const newlineIndex = -1;

/**
 * The order in which an image's tokens enter the language model: indices into `[V·N]` (views in
 * order, raster order within), or `newlineIndex`. `grid` is a view's grid of tokens; `aspect` says
 * whose aspect unpadding goes by (`planUnpad`). A single view ends with a newline.
 */
export const planSpatialUnpad = (
  plan: ImagePlan,
  grid: Lattice,
  aspect: "lattice" | "tiles" = "lattice",
): number[] => {
  const perView = grid.rows * grid.columns;
  const layout = Array.from({ length: perView }, (_, index) => index);
  const tiles = plan.grid;
  if (tiles.columns * tiles.rows === 0) return [...layout, newlineIndex];
  const lattice = { rows: tiles.rows * grid.rows, columns: tiles.columns * grid.columns };
  const kept = planUnpad(plan.image, lattice, aspect === "tiles" ? tiles : undefined);
  for (let row = kept.rows.start; row < kept.rows.end; row += 1) {
    for (let column = kept.columns.start; column < kept.columns.end; column += 1) {
      const tile = Math.floor(row / grid.rows) * tiles.columns + Math.floor(column / grid.columns);
      const inside = (row % grid.rows) * grid.columns + (column % grid.columns);
      layout.push((1 + tile) * perView + inside);
    }
    layout.push(newlineIndex);
  }
  return layout;
};
