/** A few lengths that batches are padded to, so that static shapes are compiled few times and padding stays small. */
import { OptionsError } from "../errors.js";

export type LengthBuckets = {
  /** Padded lengths, ascending; the last one holds the longest sample. */
  readonly lengths: readonly number[];
  /** Share of padding among all places, where every sample is padded to its bucket. */
  readonly paddingShare: number;
};

export type BucketOptions = {
  /** Most buckets; default 4. */
  readonly maxBuckets?: number;
  /** Bucket lengths are multiples of this; default 8, which suits matrix products. */
  readonly multipleOf?: number;
  /** Take the fewest buckets with at most this share of padding; default: as little as `maxBuckets` allow. */
  readonly maxPaddingShare?: number;
};

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value > 0;

/** More candidates than this cost more time than they save padding. */
const maxCandidates = 1024;

/**
 * The bucket lengths with the least padding over `lengths` (positive; 0 and below are left out), found exactly: the best
 * choice of k ends among the n candidate lengths by dynamic programming, O(k n^2).
 *
 * @throws OptionsError for no lengths, options that are no counts, or a share that `maxBuckets` cannot keep.
 */
export const planBuckets = (
  lengths: ArrayLike<number>,
  { maxBuckets = 4, multipleOf = 8, maxPaddingShare }: BucketOptions = {},
): LengthBuckets => {
  if (!isCount(maxBuckets) || !isCount(multipleOf))
    throw new OptionsError(
      `planBuckets: maxBuckets and multipleOf must be whole numbers above 0, got ${maxBuckets} and ${multipleOf}. Leave them out for the defaults.`,
    );
  let total = 0;
  let longest = 0;
  for (let at = 0; at < lengths.length; at++) {
    if (lengths[at] <= 0) continue;
    total += lengths[at];
    longest = Math.max(longest, lengths[at]);
  }
  if (!isCount(longest) || !Number.isSafeInteger(total))
    throw new OptionsError(
      `planBuckets: lengths must hold at least one, all of them whole numbers, got ${lengths.length} that add up to ${total}. Measure the samples first.`,
    );
  let step = multipleOf;
  while (longest / step > maxCandidates) step *= 2;
  const counts = new Map<number, number>();
  for (let at = 0; at < lengths.length; at++) {
    if (lengths[at] <= 0) continue;
    const end = Math.ceil(lengths[at] / step) * step;
    counts.set(end, (counts.get(end) ?? 0) + 1);
  }
  const ends = [...counts.keys()].sort((a, b) => a - b);
  /** Samples up to each candidate. */
  const upTo = ends.map(() => 0);
  for (const [at, end] of ends.entries()) upTo[at] = (upTo[at - 1] ?? 0) + (counts.get(end) ?? 0);

  // places[at]: least places of the samples up to candidate `at`, in the buckets so far, the last one ending there.
  let places = ends.map((end, at) => end * upTo[at]);
  const cuts: number[][] = [];
  const describe = (): LengthBuckets => {
    const chosen = [ends.length - 1];
    for (const cut of [...cuts].reverse()) {
      const before = cut[chosen[0]];
      if (before >= 0) chosen.unshift(before);
    }
    return {
      lengths: chosen.map((at) => ends[at]),
      paddingShare: 1 - total / places[ends.length - 1],
    };
  };
  const isEnough = () =>
    maxPaddingShare !== undefined && 1 - total / places[ends.length - 1] <= maxPaddingShare;
  for (let bucket = 1; bucket < Math.min(maxBuckets, ends.length) && !isEnough(); bucket++) {
    const cut = ends.map(() => -1);
    places = places.map((fewest, at) => {
      let best = fewest;
      for (let before = 0; before < at; before++) {
        const sum = places[before] + ends[at] * (upTo[at] - upTo[before]);
        if (sum < best) {
          best = sum;
          cut[at] = before;
        }
      }
      return best;
    });
    cuts.push(cut);
  }
  const found = describe();
  if (maxPaddingShare !== undefined && !isEnough())
    throw new OptionsError(
      `planBuckets: padding must stay within ${maxPaddingShare}, got ${found.paddingShare.toFixed(3)} with ${found.lengths.length} buckets. Allow more buckets, smaller multiples or more padding.`,
    );
  return found;
};

/** Index of the smallest bucket that holds `length`; -1 where none does or the length is not above 0. */
export const bucketOf = ({ lengths }: LengthBuckets, length: number): number =>
  length > 0 ? lengths.findIndex((end) => length <= end) : -1;
