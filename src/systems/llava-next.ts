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
 */
export const planUnpad = (
  image: Size,
  { rows, columns }: Lattice,
): { rows: Range; columns: Range } => {
  if (image.width / image.height > columns / rows) {
    const kept = Math.trunc(image.height * (columns / image.width));
    const cut = Math.floor((rows - kept) / 2);
    return { rows: { start: cut, end: rows - cut }, columns: { start: 0, end: columns } };
  }
  const kept = Math.trunc(image.width * (rows / image.height));
  const cut = Math.floor((columns - kept) / 2);
  return { rows: { start: 0, end: rows }, columns: { start: cut, end: columns - cut } };
};

/** A row of the layout that is the learned newline, not a token of a view. */
export const newlineIndex = -1;

/**
 * The order in which an image's tokens enter the language model: indices into `[V·N]` (views in
 * order, raster order within), or `newlineIndex`. `side` is the side of a view's token grid.
 */
export const planSpatialUnpad = (plan: ImagePlan, side: number): number[] => {
  const perView = side * side;
  const layout = Array.from({ length: perView }, (_, index) => index);
  const { columns: tileColumns, rows: tileRows } = plan.grid;
  if (tileColumns * tileRows === 0) return [...layout, newlineIndex];
  const lattice = { rows: tileRows * side, columns: tileColumns * side };
  const kept = planUnpad(plan.image, lattice);
  for (let row = kept.rows.start; row < kept.rows.end; row += 1) {
    for (let column = kept.columns.start; column < kept.columns.end; column += 1) {
      const tile = Math.floor(row / side) * tileColumns + Math.floor(column / side);
      const inside = (row % side) * side + (column % side);
      layout.push((1 + tile) * perView + inside);
    }
    layout.push(newlineIndex);
  }
  return layout;
};
