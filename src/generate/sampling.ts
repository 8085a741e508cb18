import { OptionsError } from "../errors.js";
import { randomStream } from "../graph/index.js";

/** How the next token is chosen. Defaults choose the most likely one. */
export type SamplingOptions = {
  /** 0 (default) takes the most likely token; above, scores are divided by it before drawing. */
  readonly temperature?: number;
  /** Draw among this many most likely tokens; 0 (default) is all. */
  readonly topK?: number;
  /** Draw among the fewest tokens whose probabilities add up to this; 1 (default) is all. */
  readonly topP?: number;
  /** Draw among tokens at least this likely relative to the most likely one; 0 (default) is all. */
  readonly minP?: number;
  /** Above 1, tokens that occurred become less likely (Keskar et al. 2019, section 4.1); 1 is off. */
  readonly repetitionPenalty?: number;
  /** Draws repeat for the same seed. A fresh one is taken, and reported, when absent. */
  readonly seed?: number;
};

/** Chooses tokens from scores; `seed` is the one in use. */
export type Sampler = {
  readonly seed: number;
  /** `scores` [W] are left as they are; `previous` are the ids that the penalty counts. */
  choose(scores: Float32Array, previous: Iterable<number>): number;
};

const checkRange = (name: string, value: number, low: number, high: number): number => {
  if (!(value >= low && value <= high)) {
    throw new OptionsError(
      `createSampler: ${name} must be within ${low}..${high}, got ${value}; leave it out for the default`,
    );
  }
  return value;
};

/** Index of the largest score; the first one among equals. */
export const largestIndex = (scores: ArrayLike<number>): number => {
  let best = 0;
  for (let index = 1; index < scores.length; index += 1) {
    if (scores[index] > scores[best]) best = index;
  }
  return best;
};

const penalise = (scores: Float32Array, previous: Iterable<number>, penalty: number): void => {
  for (const id of new Set(previous)) {
    scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty;
  }
};

/** A sampler for one sequence. Throws `OptionsError` for values outside their range. */
export const createSampler = (options: SamplingOptions = {}): Sampler => {
  const temperature = checkRange("temperature", options.temperature ?? 0, 0, 100);
  const topK = checkRange("topK", options.topK ?? 0, 0, 1e9);
  const topP = checkRange("topP", options.topP ?? 1, 0, 1);
  const minP = checkRange("minP", options.minP ?? 0, 0, 1);
  const penalty = checkRange("repetitionPenalty", options.repetitionPenalty ?? 1, 0.01, 100);
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31);
  if (!Number.isSafeInteger(seed) || !Number.isInteger(topK)) {
    throw new OptionsError(
      `createSampler: seed and topK must be integers, got ${seed} and ${topK}`,
    );
  }
  const random = randomStream(seed);

  const choose = (given: Float32Array, previous: Iterable<number>): number => {
    let scores = given;
    if (penalty !== 1) {
      scores = given.slice();
      penalise(scores, previous, penalty);
    }
    const top = largestIndex(scores);
    if (temperature === 0) return top;

    // Weights relative to the most likely token, which is 1: no overflow.
    const weights = Float64Array.from(scores, (score) =>
      Math.exp((score - scores[top]) / temperature),
    );
    let candidates = Array.from(weights.keys()).filter((id) => weights[id] > 0);
    if (topK > 0 || topP < 1) candidates.sort((a, b) => weights[b] - weights[a] || a - b);
    if (topK > 0) candidates = candidates.slice(0, topK);
    if (topP < 1) {
      const total = candidates.reduce((sum, id) => sum + weights[id], 0);
      let covered = 0;
      let kept = 0;
      while (kept < candidates.length && (kept === 0 || covered < topP * total)) {
        covered += weights[candidates[kept]];
        kept += 1;
      }
      candidates = candidates.slice(0, kept);
    }
    if (minP > 0) candidates = candidates.filter((id) => weights[id] >= minP);

    let left = random() * candidates.reduce((sum, id) => sum + weights[id], 0);
    for (const id of candidates) {
      left -= weights[id];
      if (left < 0) return id;
    }
    return candidates[candidates.length - 1];
  };
  return { seed, choose };
};
