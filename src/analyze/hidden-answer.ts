/** What an answer is worth to a model that some tokens are hidden from, and what it says instead. */
import { float32 } from "../tensor-data.js";
import type { AnsweredSequence } from "./answered-sequence.js";
import type { HiddenTokens, ProbedSequence, SequenceProbe } from "./sequence-probe.js";

export type HiddenAnswer = {
  /** Mean negative log-likelihood of the answer's tokens, in nats. */
  readonly answerLoss: number;
  /** Most likely tokens one by one, up to an end token or as many as the answer has. */
  readonly greedyIds: readonly number[];
};

/** Negative log-likelihood of `id`, in nats. */
const lossOf = (scores: Float32Array, id: number): number => {
  const top = scores.reduce((best, score) => Math.max(best, score), Number.NEGATIVE_INFINITY);
  const total = scores.reduce((sum, score) => sum + Math.exp(score - top), 0);
  return Math.log(total) + top - scores[id];
};

/** The first of the largest scores, as a sampler at temperature 0 takes it. */
const largest = (scores: Float32Array, size: number): number => {
  let best = 0;
  for (let id = 1; id < Math.min(size, scores.length); id += 1) {
    if (scores[id] > scores[best]) best = id;
  }
  return best;
};

/**
 * Scores the answer, and writes its own greedily, while `isHidden` says which tokens nobody attends to
 * in which layers. One pass where the greedy answer is the given one; a pass more for each token after
 * the first that differs.
 */
export const answerWithHidden = async (
  probe: SequenceProbe,
  sequence: AnsweredSequence,
  isHidden?: HiddenTokens,
): Promise<HiddenAnswer> => {
  const { promptLength, answerIds, embeddings } = sequence;
  const { vocabularySize, endIds } = probe;
  const places = answerIds.map((_, index) => promptLength - 1 + index);
  const hidden = isHidden && { isHidden };
  const scores = await probe.scores({ embeddings, ...hidden }, places);
  const losses = answerIds.map((id, index) => lossOf(scores[index], id));
  const answerLoss = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;

  const choices = scores.map((row) => largest(row, vocabularySize));
  const firstOther = choices.findIndex((id, index) => id !== answerIds[index]);
  const greedyIds = firstOther < 0 ? [...choices] : choices.slice(0, firstOther + 1);
  const width = embeddings.shape[2];
  let rows = embeddings.data.slice(0, (promptLength + greedyIds.length - 1) * width);
  while (greedyIds.length < answerIds.length && !endIds.has(greedyIds[greedyIds.length - 1])) {
    const grown = new Float32Array(rows.length + width);
    grown.set(rows);
    grown.set(await probe.embed(greedyIds.slice(-1)), rows.length);
    rows = grown;
    const length = rows.length / width;
    const longer: ProbedSequence = { embeddings: float32([1, length, width], rows), ...hidden };
    const [next] = await probe.scores(longer, [length - 1]);
    greedyIds.push(largest(next, vocabularySize));
  }
  return { answerLoss, greedyIds };
};
