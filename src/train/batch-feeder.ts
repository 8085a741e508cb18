import { OptionsError } from "../errors.js";
import type { BatchSource, JsonValue } from "./trainable.js";

export type FedBatch<Batch> = {
  readonly batch: Batch;
  /** The data's place after this batch and before the next. */
  readonly place: JsonValue;
};

/**
 * Hands out `numBatches` batches, each being prepared while the one before it is at work. The place
 * that comes with a batch does not count the one in preparation.
 */
export const createFeeder = <Batch>(
  data: BatchSource<Batch>,
  numBatches: number,
): (() => Promise<FedBatch<Batch>>) => {
  let left = numBatches;
  let upcoming: Promise<Batch> | undefined;
  const ask = (): void => {
    upcoming = left > 0 ? data.next() : undefined;
    // A failure is met where the batch is awaited; until then it must not end the process.
    upcoming?.catch(() => {});
    left -= 1;
  };
  ask();
  return async () => {
    if (upcoming === undefined) {
      throw new OptionsError(
        `createFeeder: at most ${numBatches} batches may be taken, got one more call; ask for more`,
      );
    }
    const batch = await upcoming;
    const place = data.state();
    ask();
    return { batch, place };
  };
};
