import {
  divide,
  maximum,
  multiply,
  reshape,
  scalar,
  scatterRows,
  sum,
  type Tensor,
  tokenLoss,
} from "../graph/index.js";
import type { JudgedTokens } from "../systems/judged-tokens.js";

/** Label of a place that is not supervised. */
export const ignoredLabel = -100;

/** So that nothing is divided by nothing: no weight of a token is as small. */
const leastWeight = 1e-12;

const weighted = (
  scores: Tensor,
  { targets, weights }: Pick<JudgedTokens, "targets" | "weights">,
): Tensor => multiply(tokenLoss(scores, targets), weights);

/**
 * Mean negative log-likelihood of the judged tokens, every one weighted: `Σ w · nll / Σ w`, []; 0 where nothing
 * weighs. scores [J, W] at their places. With weights of 1, the cross-entropy of Hugging Face's causal models.
 */
export const nextTokenLoss = (
  scores: Tensor,
  judged: Pick<JudgedTokens, "targets" | "weights">,
): Tensor =>
  divide(
    sum(weighted(scores, judged), [0]),
    maximum(sum(judged.weights, [0]), scalar(leastWeight)),
  );

/**
 * The same over each of `numRows` rows by itself, [B], and what the tokens of each weigh together, [B].
 * `rows` [J] int64: the row that each token belongs to.
 */
export const nextTokenLossByRow = (
  scores: Tensor,
  judged: Pick<JudgedTokens, "targets" | "weights">,
  rows: Tensor,
  numRows: number,
): { readonly means: Tensor; readonly totals: Tensor } => {
  const addUp = (values: Tensor): Tensor =>
    reshape(scatterRows(reshape(values, [-1, 1]), rows, numRows), [numRows]);
  const totals = addUp(judged.weights);
  const means = divide(addUp(weighted(scores, judged)), maximum(totals, scalar(leastWeight)));
  return { means, totals };
};
