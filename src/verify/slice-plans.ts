import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import { produceSlicePlans } from "../image/slices-recorded.js";
import { int64, type TensorData } from "../tensor-data.js";
import { bucketTaps } from "../vision/position-lookup.js";
import { compareRecorded, type VerifyResult } from "./verify.js";

/** Recorded plans of images in slices, and where their patches stand on a position table. */
export type RecordedSlicing = {
  /** `slices.json` */
  readonly slices: unknown;
  /** `position_buckets.json` */
  readonly buckets?: unknown;
};

const bucketsSchema = z.object({
  table_side: z.int().positive(),
  buckets: z.record(z.string().regex(/^\d+$/), z.array(z.int())),
});

/**
 * Compares our plans with recorded ones: a tensor for every image and setting, and one
 * `buckets.{patches}` for every number of patches in a row. Throws ModelConfigError for other records.
 */
export const verifySlicing = ({ slices, buckets }: RecordedSlicing): VerifyResult => {
  const { recorded, produced } = produceSlicePlans(slices);
  if (buckets !== undefined) {
    const parsed = bucketsSchema.safeParse(buckets);
    if (!parsed.success) {
      throw new ModelConfigError(
        `verifySlicing: position_buckets.json must list the buckets of each count, got ${z.prettifyError(parsed.error)}. Record it again.`,
      );
    }
    const { table_side: side, buckets: ofCount } = parsed.data;
    for (const [count, expected] of Object.entries(ofCount)) {
      const name = `buckets.${count}`;
      recorded.set(name, int64([expected.length], expected));
      const { rows } = bucketTaps({ rows: Number(count), columns: 1 }, { rows: side, columns: 1 });
      produced.set(name, int64([rows.length], rows) satisfies TensorData);
    }
  }
  return compareRecorded(recorded, { tensors: produced, inputs: new Set() });
};
