/**
 * AVG-LLaVA's filter of the instruction (Lan et al. 2024, arXiv 2410.02745, section 3.2): the text
 * tokens that are most like the image, by the mean cosine with its patches.
 *
 * The mean of cosines is the cosine's product with a mean: score_t = ê_t · mean_i(v̂_i). So nothing of
 * the size patches × tokens × width is ever computed, as the released code does.
 */
import {
  add,
  addDims,
  broadcast,
  cast,
  concat,
  constant,
  divide,
  gatherRows,
  greater,
  matmul,
  maximum,
  mean,
  multiply,
  multiplyDims,
  reshape,
  scalar,
  sqrt,
  sum,
  type Tensor,
  topIndices,
  where,
} from "../graph/index.js";
import type { Taps } from "../nn/taps.js";
import { float32, int64 } from "../tensor-data.js";

/** A vector shorter than this counts as this long (PyTorch's `cosine_similarity`). */
const shortestLength = 1e-8;
/** Score of a place that is not looked at: far below any cosine. */
const unseen = -1e30;

/** Rows of length 1; zero rows stay zero. x [..., D] → [..., D]. */
const unitRows = (x: Tensor): Tensor => {
  const length = sqrt(sum(multiply(x, x), [-1], { keepSides: true }));
  return divide(x, maximum(length, scalar(shortestLength)));
};

export type FilteredText = {
  /** The best tokens, best first; zero rows where there were fewer, [B, k, D]. */
  readonly text: Tensor;
  /** Which rows hold a token, [B, k, 1] bool. */
  readonly isToken: Tensor;
};

/**
 * Chooses `count` text tokens. patches [B, N, D] of the whole image, text [B, T, D] without positions,
 * textMask [B, T] (bool) where it has places to leave out. More than one sample needs a numeric T.
 *
 * Where fewer than `count` tokens can be seen, the released code fills up with masked ones in no
 * defined order; here those rows are zero.
 */
export const textFilter = (
  { patches, text, textMask }: { patches: Tensor; text: Tensor; textMask?: Tensor },
  count: number,
  taps?: Taps,
): FilteredText => {
  const [batch, length, width] = text.shape;
  const direction = mean(unitRows(patches), [1], { keepSides: true }); // [B, 1, D]
  const cosines = matmul(unitRows(text), direction, { transposeB: true }); // [B, T, 1]
  const scores = reshape(cosines, [batch, length]);
  taps?.add("scores", scores);
  const seen = textMask === undefined ? scores : where(textMask, scores, scalar(unseen));

  // `count` zero rows behind the text: what is chosen there, or of masked places, holds nothing.
  const total = addDims(length, count);
  const fill = (sides: readonly number[], value: number) =>
    constant(float32(sides, new Float32Array(sides.reduce((a, b) => a * b)).fill(value)));
  const spread = (x: Tensor, sides: Tensor["shape"]) => broadcast(x, sides);
  const padded = concat([seen, spread(fill([1, count], unseen), [batch, count])], 1);
  const rows = concat([text, spread(fill([1, 1, 1], 0), [batch, count, width])], 1);
  const chosen = topIndices(padded, count); // [B, k] int64
  taps?.add("selected", chosen);
  const numSamples = Number(batch);
  const places =
    numSamples === 1
      ? chosen
      : add(
          chosen,
          constant(
            int64(
              [numSamples, 1],
              Array.from({ length: numSamples }, (_, sample) => sample * Number(total)),
            ),
          ),
        );
  const flat = multiplyDims(batch, total);
  const isToken = greater(
    gatherRows(reshape(padded, [flat, 1]), places), // [B, k, 1]
    scalar(unseen / 2),
  );
  const gathered = gatherRows(reshape(rows, [flat, width]), places); // [B, k, D]
  const filtered = multiply(gathered, cast(isToken, "float32"));
  taps?.add("filtered", filtered);
  return { text: filtered, isToken };
};
