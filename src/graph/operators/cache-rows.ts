import { ShapeError } from "../../errors.js";
import { divideDims, formatShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { alignedHeadWidth } from "./attention.js";
import { padAxis, reshape, transpose } from "./layout.js";

/**
 * Keys or values of new tokens as a cache holds them: a row a head, filled up to the aligned width.
 * x [B, T, K·E] → [B, K, T, E'].
 */
export const cacheRows = (x: Tensor, numKeyValueHeads: number): Tensor => {
  const [batch, length, total] = x.shape;
  const width = Number(divideDims(total ?? 0, numKeyValueHeads));
  if (x.rank !== 3 || !Number.isInteger(width)) {
    throw new ShapeError(
      `cacheRows: needs [B, T, heads * E] with ${numKeyValueHeads} heads, got ${formatShape(x.shape)}`,
    );
  }
  const rows = transpose(reshape(x, [batch, length, numKeyValueHeads, width]), [0, 2, 1, 3]);
  const missing = alignedHeadWidth(width) - width;
  return missing === 0 ? rows : padAxis(rows, 3, 0, missing);
};
