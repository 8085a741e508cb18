import {
  cast,
  constant,
  divide,
  greater,
  maximum,
  multiply,
  reshape,
  scalar,
  slice,
  sum,
  type Tensor,
  tokenLoss,
} from "../graph/index.js";
import { int64 } from "../tensor-data.js";

/** Label of a place that is not supervised. */
export const ignoredLabel = -100;

export type NextTokenLoss = {
  /** Mean negative log-likelihood over all supervised places of the batch, []. */
  readonly mean: Tensor;
  /** Mean over each sample's own supervised places, [B]; 0 where a sample has none. */
  readonly perSample: Tensor;
};

/**
 * Mean negative log-likelihood of each place's next token, every label weighted: `Σ w · nll / Σ w`, [].
 * scores [B, T, W], labels [B, T] (int64, any id where the weight is 0), weights [B, T].
 */
export const weightedTokenLoss = (scores: Tensor, labels: Tensor, weights: Tensor): Tensor => {
  const [batch, length, width] = scores.shape.map(Number);
  const rows = batch * (length - 1);
  const next = maximum(reshape(slice(labels, 1, 1, length), [rows]), constant(int64([], [0])));
  const judged = reshape(slice(weights, 1, 1, length), [rows]);
  const losses = tokenLoss(reshape(slice(scores, 1, 0, length - 1), [rows, width]), next);
  const total = maximum(sum(judged, [0]), scalar(1e-12));
  return divide(sum(multiply(losses, judged), [0]), total);
};

/**
 * Cross-entropy of each place's next token. scores [B, T, W], labels [B, T] (int64, `ignoredLabel`
 * where not supervised): place t is judged by label t + 1, as in Hugging Face's causal models.
 */
export const nextTokenLoss = (scores: Tensor, labels: Tensor): NextTokenLoss => {
  const [batch, length, width] = scores.shape.map(Number);
  const rows = batch * (length - 1);
  const next = reshape(slice(labels, 1, 1, length), [rows]);
  const isSupervised = greater(next, constant(int64([], [-1])));
  const weights = cast(isSupervised, "float32");
  // Ignored labels become 0 for the look-up and weigh nothing afterwards.
  const known = maximum(next, constant(int64([], [0])));
  const losses = tokenLoss(reshape(slice(scores, 1, 0, length - 1), [rows, width]), known);
  const weighted = reshape(multiply(losses, weights), [batch, length - 1]);
  const counts = reshape(weights, [batch, length - 1]);
  const total = maximum(sum(counts, [0, 1]), scalar(1));
  return {
    mean: divide(sum(weighted, [0, 1]), total),
    perSample: divide(sum(weighted, [1]), maximum(sum(counts, [1]), scalar(1))),
  };
};
