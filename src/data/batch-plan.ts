/** Which samples of an epoch go together: shuffled by seed, alike within a batch, batches in random order. */
import { OptionsError } from "../errors.js";
import { permute, shuffle } from "./permutation.js";

export type BatchPlanOptions = {
  /**
   * The group of each sample; a batch holds samples of one group. Groups are modalities, buckets, numbers of views, or
   * numbers made of them. Samples with a negative group are left out.
   */
  readonly groups: ArrayLike<number>;
  /** Samples of a batch, for all groups or for each. */
  readonly batchSize: number | ((group: number) => number);
  readonly seed: number;
  /** From 0. */
  readonly epoch: number;
  /** Samples that do not fill a last batch of their group: kept as a smaller batch (default), or dropped, as LLaVA does. */
  readonly remainder?: "keep" | "drop";
  /**
   * Length of each sample: within windows of `windowBatches` batches, neighbours in length go together, as in LLaVA's
   * `group_by_modality_length`. Not needed where groups are buckets.
   */
  readonly lengths?: ArrayLike<number>;
  /** Default 50: long windows save padding, short ones keep batches random. */
  readonly windowBatches?: number;
};

export type BatchPlan = {
  /** Indices of samples. */
  readonly batches: readonly Uint32Array[];
  /** Samples with a negative group. */
  readonly numLeftOut: number;
  /** Samples of this epoch that filled no batch. */
  readonly numDropped: number;
};

const checkCount = (name: string, value: number, least: number): void => {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new OptionsError(
    `planBatches: ${name} must be a whole number from ${least}, got ${value}. Pass such a number.`,
  );
};

/** @throws OptionsError for counts that are none, and lengths for other than all samples. */
export const planBatches = ({
  groups,
  batchSize,
  seed,
  epoch,
  remainder = "keep",
  lengths,
  windowBatches = 50,
}: BatchPlanOptions): BatchPlan => {
  checkCount("seed", seed, 0);
  checkCount("epoch", epoch, 0);
  checkCount("windowBatches", windowBatches, 1);
  if (lengths && lengths.length !== groups.length)
    throw new OptionsError(
      `planBatches: lengths must be of all ${groups.length} samples, got ${lengths.length}. Measure the same samples.`,
    );
  const members = new Map<number, number[]>();
  let numLeftOut = 0;
  for (const index of permute(groups.length, [seed, epoch, 0])) {
    const group = groups[index];
    if (group < 0) numLeftOut++;
    else {
      const known = members.get(group);
      if (known) known.push(index);
      else members.set(group, [index]);
    }
  }
  const batches: Uint32Array[] = [];
  let numDropped = 0;
  // In the order of their numbers: the order in which a map met them must not matter.
  for (const group of [...members.keys()].sort((a, b) => a - b)) {
    const indices = members.get(group) ?? [];
    const size = typeof batchSize === "number" ? batchSize : batchSize(group);
    checkCount("batchSize", size, 1);
    const numKept =
      remainder === "drop" ? indices.length - (indices.length % size) : indices.length;
    numDropped += indices.length - numKept;
    for (let start = 0; start < numKept; start += size * windowBatches) {
      const window = indices.slice(start, Math.min(start + size * windowBatches, numKept));
      if (lengths) window.sort((a, b) => lengths[b] - lengths[a] || a - b);
      for (let at = 0; at < window.length; at += size)
        batches.push(Uint32Array.from(window.slice(at, at + size)));
    }
  }
  const order = shuffle(
    Uint32Array.from(batches, (_, at) => at),
    [seed, epoch, 1],
  );
  return { batches: Array.from(order, (at) => batches[at]), numLeftOut, numDropped };
};
