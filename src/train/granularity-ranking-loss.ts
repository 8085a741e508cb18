/**
 * How AVG-LLaVA's router learns from the model's own feedback (Lan et al. 2024, arXiv 2410.02745,
 * section 3.3, RGLF): granularities whose answers the model finds more likely shall score higher.
 *
 * The released code multiplies the margin with the distance in rank and takes the mean over the pairs
 * of each distance (as BRIO does); the paper sums over all pairs with the margin set by the difference
 * in log-likelihood alone.
 */
import {
  add,
  cast,
  constant,
  divide,
  equal,
  greater,
  less,
  log,
  logicalAnd,
  maximum,
  multiply,
  reshape,
  scalar,
  softmax,
  stopGradient,
  subtract,
  sum,
  type Tensor,
} from "../graph/index.js";
import type { RankingWeights } from "../systems/avg-llava-config.js";
import { bool, float32 } from "../tensor-data.js";

export type RankingOptions = RankingWeights & {
  /** `released`: means over pairs of equal rank distance, which the margin grows with. `paper`: a sum. */
  readonly form: "released" | "paper";
  /**
   * Ours: what the tokens of each granularity are held to cost, in nats [E], added to what the model loses with them. Without
   * it the likeliest answer wins by however little, which at the finest granularity it nearly always is once a model has been
   * trained on all of them. Default none, as published.
   */
  readonly prices?: readonly number[];
};

export type GranularityRankingLoss = {
  /** `rankWeight · rank + crossEntropyWeight · crossEntropy`, []. */
  readonly total: Tensor;
  readonly rank: Tensor;
  readonly crossEntropy: Tensor;
};

/** 1 where a holds, [B, E, E] or [E, E]. */
const ones = (condition: Tensor): Tensor => cast(condition, "float32");

/**
 * The loss of router logits [B, E] given the negative log-likelihoods [B, E] (means over each answer's
 * tokens) of the granularities, through which no gradient flows. `counts` [B] float32 is 1 for samples
 * that take part and 0 for those without an answer; none at all gives 0. Equal likelihoods rank in the
 * order of granularities, coarser first.
 */
export const granularityRankingLoss = (
  { logits, losses, counts }: { logits: Tensor; losses: Tensor; counts: Tensor },
  { form, margin, rankWeight, crossEntropyWeight, prices }: RankingOptions,
): GranularityRankingLoss => {
  const [batch, choices] = logits.shape.map(Number);
  const judged = stopGradient(losses);
  const nll = prices ? add(judged, constant(float32([1, choices], prices))) : judged;
  const scores = log(softmax(logits)); // a norm of E logits keeps them close: no underflow
  const across = (x: Tensor): Tensor => reshape(x, [batch, choices, 1]);
  const along = (x: Tensor): Tensor => reshape(x, [batch, 1, choices]);

  // Rank of each granularity: how many are better, ties in order. [B, E]
  const isEarlier = Array.from({ length: choices * choices }, (_, index) => {
    const [own, other] = [Math.floor(index / choices), index % choices];
    return other < own;
  });
  const isTiedAndEarlier = logicalAnd(
    equal(along(nll), across(nll)),
    constant(bool([1, choices, choices], isEarlier)),
  );
  const isBetter = less(along(nll), across(nll));
  const ranks = sum(add(ones(isBetter), ones(isTiedAndEarlier)), [2]);

  // Pairs [B, a, b] of which b is the worse by `distance` ranks.
  const distance = subtract(along(ranks), across(ranks));
  const isPair = ones(greater(distance, scalar(0)));
  const gap = subtract(along(nll), across(nll));
  const held = form === "released" ? multiply(gap, distance) : gap;
  const violation = maximum(
    scalar(0),
    add(subtract(along(scores), across(scores)), multiply(held, scalar(margin))),
  );
  // E - j pairs have distance j.
  const share =
    form === "released"
      ? divide(isPair, maximum(subtract(scalar(choices), distance), scalar(1)))
      : isPair;
  const numCounted = maximum(sum(counts, [0]), scalar(1));
  const meanOf = (perSample: Tensor): Tensor =>
    divide(sum(multiply(perSample, counts), [0]), numCounted);
  const rank = meanOf(sum(multiply(violation, share), [1, 2]));

  const isBest = ones(equal(ranks, scalar(0)));
  const crossEntropy = meanOf(sum(multiply(scores, multiply(isBest, scalar(-1))), [1]));
  return {
    rank,
    crossEntropy,
    total: add(
      multiply(rank, scalar(rankWeight)),
      multiply(crossEntropy, scalar(crossEntropyWeight)),
    ),
  };
};
