import { broadcast, constant, equal, reshape, type Tensor, where } from "../graph/index.js";
import { float32 } from "../tensor-data.js";

/** Score of a place that may not be seen: far below any real one, yet finite. */
const unseen = -1e30;

/** An additive attention bias [B, 1, S, S] from a key mask [B, S] (bool): the same for every query. */
export const keyMaskBias = (keyMask: Tensor): Tensor => {
  const [batch, length] = keyMask.shape;
  const row = where(
    reshape(keyMask, [batch, 1, 1, length]),
    constant(float32([], [0])),
    constant(float32([], [unseen])),
  );
  return broadcast(row, [batch, 1, length, length]);
};

/** An additive attention bias [B, 1, S, S] that hides every other segment. segments [B, S] (int64). */
export const segmentBias = (segments: Tensor): Tensor => {
  const [batch, length] = segments.shape;
  const same = equal(
    reshape(segments, [batch, 1, length, 1]),
    reshape(segments, [batch, 1, 1, length]),
  );
  return where(same, constant(float32([], [0])), constant(float32([], [unseen])));
};
