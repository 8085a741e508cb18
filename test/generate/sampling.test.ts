import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { createSampler, largestIndex, type SamplingOptions } from "../../src/generate/sampling.js";

const scoreRow = fc
  .array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 2, maxLength: 12 })
  .map((scores) => Float32Array.from(scores));

type Filters = Required<Pick<SamplingOptions, "temperature" | "topK" | "topP" | "minP">>;

/** Probabilities of all tokens by the definitions, one option after the other. */
const bruteForce = (scores: Float32Array, { temperature, topK, topP, minP }: Filters): number[] => {
  const top = Math.max(...scores);
  const weights = Array.from(scores, (score) => Math.exp((score - top) / temperature));
  let kept = [...weights.keys()].sort((a, b) => weights[b] - weights[a] || a - b);
  if (topK > 0) kept = kept.slice(0, topK);
  const total = kept.reduce((sum, id) => sum + weights[id], 0);
  if (topP < 1) {
    let covered = 0;
    kept = kept.filter((_, rank) => {
      const isNeeded = rank === 0 || covered < topP * total;
      covered += weights[kept[rank]];
      return isNeeded;
    });
  }
  kept = kept.filter((id) => weights[id] >= minP);
  const sum = kept.reduce((all, id) => all + weights[id], 0);
  return weights.map((weight, id) => (kept.includes(id) ? weight / sum : 0));
};

/** How often each token is drawn. */
const frequencies = (scores: Float32Array, options: SamplingOptions, draws: number): number[] => {
  const sampler = createSampler(options);
  const counts = new Array<number>(scores.length).fill(0);
  for (let draw = 0; draw < draws; draw += 1) counts[sampler.choose(scores, [])] += 1;
  return counts.map((count) => count / draws);
};

describe("sampling", () => {
  test("without a temperature takes the largest score, the first among equals", () => {
    fc.assert(
      fc.property(scoreRow, (scores) => {
        const expected = scores.indexOf(Math.max(...scores));
        expect(createSampler().choose(scores, [])).toBe(expected);
        expect(largestIndex(scores)).toBe(expected);
        expect(createSampler({ temperature: 0, topK: 3, topP: 0.1 }).choose(scores, [])).toBe(
          expected,
        );
      }),
    );
  });

  test("draws each token as often as the definitions say, and those left out never", () => {
    fc.assert(
      fc.property(
        scoreRow,
        fc.record({
          temperature: fc.constantFrom(0.3, 1, 2.5),
          topK: fc.constantFrom(0, 1, 2, 5, 100),
          topP: fc.constantFrom(0, 0.3, 0.8, 0.95, 1),
          minP: fc.constantFrom(0, 0.05, 0.5, 1),
        }),
        fc.nat(),
        (scores, options, seed) => {
          const expected = bruteForce(scores, options);
          const draws = 2000;
          const drawn = frequencies(scores, { ...options, seed }, draws);
          expected.forEach((probability, id) => {
            if (probability === 0) expect(drawn[id]).toBe(0);
            // Six standard deviations of a binomial share.
            const deviation = Math.sqrt((probability * (1 - probability)) / draws);
            expect(Math.abs(drawn[id] - probability)).toBeLessThan(6 * deviation + 0.004);
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  test("with the same seed draws the same, with another one otherwise", () => {
    const scores = new Float32Array(50);
    const row = (seed: number) => {
      const sampler = createSampler({ temperature: 1, seed });
      return Array.from({ length: 20 }, () => sampler.choose(scores, []));
    };
    expect(row(7)).toEqual(row(7));
    expect(row(7)).not.toEqual(row(8));
    const [first, second] = [createSampler({ temperature: 1 }), createSampler({ temperature: 1 })];
    expect(first.seed).not.toBe(second.seed);
    expect(row(first.seed)).toEqual(row(first.seed));
  });

  test("penalises tokens that occurred: positive scores are divided, negative multiplied, each once", () => {
    fc.assert(
      fc.property(
        scoreRow,
        fc.array(fc.nat(11), { maxLength: 6 }),
        fc.constantFrom(0.5, 1, 1.3, 4),
        (scores, previous, penalty) => {
          const before = scores.slice();
          const penalised = scores.map((score, id) => {
            if (!previous.includes(id)) return score;
            return score > 0 ? score / penalty : score * penalty;
          });
          const chosen = createSampler({ repetitionPenalty: penalty }).choose(scores, previous);
          expect(chosen).toBe(largestIndex(penalised));
          expect(scores).toEqual(before);
        },
      ),
    );
  });

  test.each<[string, SamplingOptions]>([
    ["temperature", { temperature: -1 }],
    ["temperature", { temperature: Number.NaN }],
    ["topK", { topK: -1 }],
    ["topP", { topP: 1.1 }],
    ["minP", { minP: -0.1 }],
    ["repetitionPenalty", { repetitionPenalty: 0 }],
    ["seed and topK must be integers", { topK: 2.5 }],
    ["seed and topK must be integers", { seed: 0.5 }],
  ])("refuses %s outside of its range", (name, options) => {
    expect(() => createSampler(options)).toThrow(OptionsError);
    expect(() => createSampler(options)).toThrow(name);
  });
});
