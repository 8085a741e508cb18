/** The endless row of an epoch's batches after the other, with a place that can be written down and taken up again. */
import { DatasetError, OptionsError } from "../errors.js";
import { type BatchPlan, type BatchPlanOptions, planBatches } from "./batch-plan.js";

/** Where the row stands; JSON. */
export type DataPosition = {
  readonly epoch: number;
  /** The next batch of that epoch. */
  readonly batch: number;
  /** What the order follows from; another one would be another order. */
  readonly fingerprint: string;
};

export type BatchTurn = {
  readonly epoch: number;
  readonly batch: number;
  readonly indices: Uint32Array;
};

export type BatchOrder = {
  /** The plan of the epoch that the next batch belongs to. */
  readonly plan: BatchPlan;
  next(): BatchTurn;
  state(): DataPosition;
  /** @throws DatasetError for a place in another order, OptionsError for no place at all. */
  restore(position: unknown): void;
};

/** 64 bits in hexadecimal of a row of numbers: FNV-1a of 32 bits twice, the second one with each word's place. */
const createDigest = () => {
  let forward = 0x811c9dc5;
  let weighted = 0x1234567;
  let count = 0;
  return {
    add: (value: number) => {
      for (const word of [value >>> 0, Math.floor(value / 2 ** 32) >>> 0]) {
        forward = Math.imul(forward ^ word, 0x01000193) >>> 0;
        weighted = Math.imul(weighted ^ (word + ++count), 0x85ebca6b) >>> 0;
      }
    },
    text: () => [forward, weighted].map((word) => word.toString(16).padStart(8, "0")).join(""),
  };
};

export type BatchOrderOptions = Omit<BatchPlanOptions, "epoch"> & {
  /** The reader's fingerprint. */
  readonly dataFingerprint: string;
};

const fingerprintOf = ({ dataFingerprint, ...options }: BatchOrderOptions): string => {
  const digest = createDigest();
  const { groups, batchSize, lengths, seed, remainder = "keep", windowBatches = 50 } = options;
  for (const char of dataFingerprint) digest.add(char.codePointAt(0) ?? 0);
  const seen = new Set<number>();
  for (let at = 0; at < groups.length; at++) {
    digest.add(groups[at]);
    seen.add(groups[at]);
    if (lengths) digest.add(lengths[at]);
  }
  for (const group of [...seen].sort((a, b) => a - b))
    if (group >= 0) digest.add(typeof batchSize === "number" ? batchSize : batchSize(group));
  digest.add(seed);
  digest.add(remainder === "keep" ? 0 : 1);
  digest.add(lengths ? windowBatches : 0);
  return digest.text();
};

const parsePosition = (value: unknown): DataPosition => {
  const { epoch, batch, fingerprint } = (value ?? {}) as Partial<Record<string, unknown>>;
  const isCount = (count: unknown): count is number =>
    Number.isSafeInteger(count) && Number(count) >= 0;
  if (isCount(epoch) && isCount(batch) && typeof fingerprint === "string")
    return { epoch, batch, fingerprint };
  throw new OptionsError(
    `restore: a place in the data must hold epoch, batch and fingerprint, got ${JSON.stringify(value)}. Pass what state() gave.`,
  );
};

/**
 * Plans epoch after epoch with `planBatches`. The order follows from the options alone, so a restored place continues it
 * exactly.
 *
 * @throws OptionsError as `planBatches`, and where an epoch has no batch.
 */
export const createBatchOrder = (options: BatchOrderOptions): BatchOrder => {
  const fingerprint = fingerprintOf(options);
  const planEpoch = (epoch: number): BatchPlan => {
    const plan = planBatches({ ...options, epoch });
    if (plan.batches.length === 0)
      throw new OptionsError(
        `createBatchOrder: an epoch must have a batch, got ${options.groups.length} samples, ${plan.numLeftOut} left out, ${plan.numDropped} dropped. Take more samples or a smaller batchSize.`,
      );
    return plan;
  };
  let epoch = 0;
  let batch = 0;
  let plan = planEpoch(0);
  const goTo = (nextEpoch: number, nextBatch: number) => {
    if (nextEpoch !== epoch) plan = planEpoch(nextEpoch);
    epoch = nextEpoch;
    batch = nextBatch;
  };
  return {
    get plan() {
      return plan;
    },
    next: () => {
      const turn = { epoch, batch, indices: plan.batches[batch] };
      if (batch + 1 === plan.batches.length) goTo(epoch + 1, 0);
      else batch++;
      return turn;
    },
    state: () => ({ epoch, batch, fingerprint }),
    restore: (value) => {
      const position = parsePosition(value);
      if (position.fingerprint !== fingerprint)
        throw new DatasetError(
          `restore: data, seed, batch size and grouping must be those of the run that is resumed, got fingerprint ${fingerprint} for ${position.fingerprint}. Restore them, or start a new run.`,
        );
      const { batches } = position.epoch === epoch ? plan : planEpoch(position.epoch);
      if (position.batch >= batches.length)
        throw new OptionsError(
          `restore: batch must be below the ${batches.length} of epoch ${position.epoch}, got ${position.batch}. Pass what state() gave.`,
        );
      goTo(position.epoch, position.batch);
    },
  };
};
