/** One pass over a dataset before training: what grouping needs, and every bad record known before the first step. */

import type { ConversationSample } from "./conversation-sample.js";
import { describePlace } from "./conversation-sample.js";
import type { ReadReport } from "./read-report.js";
import type { SampleReader } from "./sample-reader.js";

export type MeasuredSamples = {
  /** Of each record, [records]; -1 where it is bad. */
  readonly lengths: Int32Array;
  /** What `measure` says, such as the number of images, [records]; -1 where the record is bad. */
  readonly groups: Int32Array;
};

export type Measure = (
  sample: ConversationSample,
  index: number,
) => {
  readonly length: number;
  readonly group: number;
};

/**
 * Measures every record. `isBadSample` tells which errors of `measure` concern the sample alone: those are reported as bad
 * records, all others are thrown.
 *
 * @throws DatasetError where the report's limit of bad records is passed.
 */
export const measureSamples = async (
  reader: SampleReader,
  report: ReadReport,
  measure: Measure,
  isBadSample: (error: unknown) => error is Error,
): Promise<MeasuredSamples> => {
  const lengths = new Int32Array(reader.length).fill(-1);
  const groups = new Int32Array(reader.length).fill(-1);
  for (let index = 0; index < reader.length; index++) {
    const result = await reader.read(index);
    if ("bad" in result) {
      report.addBad(result.bad);
      continue;
    }
    const { source } = result.sample;
    try {
      const { length, group } = measure(result.sample, index);
      lengths[index] = length;
      groups[index] = group;
    } catch (error) {
      if (!isBadSample(error)) throw error;
      report.addBad({ place: source, message: `${describePlace(source)}: ${error.message}` });
    }
  }
  return { lengths, groups };
};
