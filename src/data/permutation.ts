/** Orders that follow from a seed: the same on every machine, and a different one for each epoch. */
import { OptionsError } from "../errors.js";

/** Mixes `word` into `state`, both 32 bits (the finaliser of MurmurHash3, by Appleby, public domain). */
const mix = (state: number, word: number): number => {
  let mixed = Math.imul(state ^ word, 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
};

/** Whole numbers below 2^32 from `key`: the generator sfc32 of PractRand, by Doty-Humphrey. */
const createWords = (key: readonly number[]): (() => number) => {
  const seeds = [0x9e3779b9, 0x243f6a88, 0xb7e15162].map((start, at) =>
    key.reduce(
      (state, value) => mix(mix(state, value >>> 0), Math.floor(value / 2 ** 32)),
      start + at,
    ),
  );
  let [a, b, c] = seeds;
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) >>> 0) + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = (b ^ (b >>> 9)) >>> 0;
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  // The first words still show the key.
  for (let round = 0; round < 15; round++) next();
  return next;
};

/** Shuffles in place, every order equally likely (Fisher and Yates). `key`: whole numbers from 0. */
export const shuffle = (values: Uint32Array, key: readonly number[]): Uint32Array => {
  const bad = key.find((word) => !Number.isSafeInteger(word) || word < 0);
  if (bad !== undefined)
    throw new OptionsError(
      `shuffle: a seed must be a whole number from 0, got ${bad}. Pass such a seed.`,
    );
  const next = createWords(key);
  for (let at = values.length - 1; at > 0; at--) {
    const numChoices = at + 1;
    // Words above the last multiple would make small choices likelier.
    const limit = 2 ** 32 - (2 ** 32 % numChoices);
    let word = next();
    while (word >= limit) word = next();
    const other = word % numChoices;
    const held = values[at];
    values[at] = values[other];
    values[other] = held;
  }
  return values;
};

/** 0 to `length` - 1 in an order that `key` decides. */
export const permute = (length: number, key: readonly number[]): Uint32Array =>
  shuffle(
    Uint32Array.from({ length }, (_, at) => at),
    key,
  );
