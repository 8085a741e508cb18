/**
 * Seeded random numbers of Scenes: integer arithmetic only, so that every machine draws the same.
 *
 * Generator: sfc32 (Chris Doty-Humphrey's Small Fast Counting generator, public domain, as in PractRand). One step of
 * it is invertible, so different keys, which are different first states, never lead to the same state: the splits of
 * one seed cannot meet.
 */
import { OptionsError } from "../../errors.js";

/** The three disjoint worlds of scenes. */
export const splits = ["train", "validation", "test"] as const;
export type Split = (typeof splits)[number];

/** What kind of scene: things in a grid, something to read, or frames over time. */
export const sceneKinds = ["simple", "detail", "clip"] as const;
export type SceneKind = (typeof sceneKinds)[number];

/** Names one scene for ever: equal keys (and equal layout options) are equal scenes. */
export type SceneKey = {
  /** Whole number from 0 to 2^32 - 1. */
  readonly seed: number;
  readonly split: Split;
  /** Which scene of the split: whole number from 0 to 2^32 - 1. */
  readonly index: number;
  readonly kind: SceneKind;
};

/** What a stream is for; every purpose draws numbers of its own. */
const purposes = ["scene", "questions", "description"] as const;
export type Purpose = (typeof purposes)[number];

export type RandomStream = {
  /** Uniform in [0, 1), 32 bits. */
  readonly next: () => number;
  /** Whole number from 0 to `count` - 1. */
  readonly integer: (count: number) => number;
  /** Uniform between two numbers. */
  readonly between: (low: number, high: number) => number;
  /** True with the given probability. */
  readonly chance: (probability: number) => boolean;
  /** One of a list that is not empty. */
  readonly pick: <T>(list: readonly T[]) => T;
  /** One of a list, with chances in proportion to `weights`, which are not all 0. */
  readonly pickWeighted: <T>(list: readonly T[], weights: readonly number[]) => T;
  /** A copy in random order. */
  readonly shuffle: <T>(list: readonly T[]) => T[];
  /** `count` different ones of a list, in random order; all of a shorter list. */
  readonly draw: <T>(list: readonly T[], count: number) => T[];
};

const checkWord = (name: string, value: number): void => {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return;
  throw new OptionsError(
    `sampleScene: ${name} is a whole number from 0 to ${2 ** 32 - 1}, got ${value}. Pass one in that range.`,
  );
};

const indexIn = <T>(name: string, list: readonly T[], value: T): number => {
  const at = list.indexOf(value);
  if (at >= 0) return at;
  throw new OptionsError(
    `sampleScene: ${name} is one of ${list.join(", ")}, got ${String(value)}. Pass one of these.`,
  );
};

/** Steps that mix a key into the whole state; PractRand's author uses 12 to 18. */
const warmUpSteps = 18;

/**
 * The random stream of one purpose of one scene; `variant` gives further streams for the same purpose.
 * Throws OptionsError for a key outside what SceneKey allows.
 */
export const createRandomStream = (key: SceneKey, purpose: Purpose, variant = 0): RandomStream => {
  checkWord("seed", key.seed);
  checkWord("index", key.index);
  checkWord("variant", variant);
  const split = indexIn("split", splits, key.split);
  const kind = indexIn("kind", sceneKinds, key.kind);
  // Each of the four words holds parts of the key that no other one holds: keys and first states are one to one.
  let a = key.seed | 0;
  let b = key.index | 0;
  let c = split | (kind << 4) | (purposes.indexOf(purpose) << 8) | 0x5ce4_0000;
  let counter = variant | 0;
  const step = (): number => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  };
  for (let round = 0; round < warmUpSteps; round++) step();

  const next = () => step() / 2 ** 32;
  const integer = (count: number) => Math.floor(next() * count);
  const shuffle = <T>(list: readonly T[]): T[] => {
    const result = [...list];
    for (let last = result.length - 1; last > 0; last--) {
      const other = integer(last + 1);
      [result[last], result[other]] = [result[other], result[last]];
    }
    return result;
  };
  return {
    next,
    integer,
    between: (low, high) => low + (high - low) * next(),
    chance: (probability) => next() < probability,
    pick: (list) => list[integer(list.length)],
    pickWeighted: (list, weights) => {
      let left = next() * weights.reduce((sum, weight) => sum + weight, 0);
      for (const [at, weight] of weights.entries()) {
        if (left < weight) return list[at];
        left -= weight;
      }
      return list[list.length - 1];
    },
    shuffle,
    draw: (list, count) => shuffle(list).slice(0, count),
  };
};
