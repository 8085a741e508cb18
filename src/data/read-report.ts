/** Counts what reading a dataset met: nothing bad passes silently, and nothing bad stops it below a chosen limit. */
import { DatasetError, OptionsError } from "../errors.js";
import { describePlace } from "./conversation-sample.js";
import type { BadRecord } from "./sample-reader.js";

export type ReadReportOptions = {
  /** Records of the dataset; the limit refers to it. */
  readonly numRecords: number;
  /** Largest share of bad records, 0 to 1; default 1, which is no limit. */
  readonly maxBadShare?: number;
  /** Called once for each bad record, for logs. */
  readonly onBad?: (bad: BadRecord) => void;
  /** Bad records kept in the report; all are counted. Default 100. */
  readonly numKept?: number;
};

export type ReadReport = {
  /** Good samples given out, repeats included. */
  readonly numGood: number;
  /** Distinct bad records. */
  readonly numBad: number;
  /** The first of them. */
  readonly badRecords: readonly BadRecord[];
  addGood(): void;
  /**
   * A record met again, such as in the next epoch, counts once.
   *
   * @throws DatasetError where more than `maxBadShare` of all records are bad.
   */
  addBad(bad: BadRecord): void;
};

/** @throws OptionsError for a share outside 0..1 or a count below 0. */
export const createReadReport = ({
  numRecords,
  maxBadShare = 1,
  onBad,
  numKept = 100,
}: ReadReportOptions): ReadReport => {
  if (!(maxBadShare >= 0 && maxBadShare <= 1))
    throw new OptionsError(
      `createReadReport: maxBadShare must be within 0..1, got ${maxBadShare}. Pass 0.01 for 1 %.`,
    );
  if (!(numRecords >= 0 && numKept >= 0))
    throw new OptionsError(
      `createReadReport: numRecords and numKept must be at least 0, got ${numRecords} and ${numKept}. Pass the reader's length.`,
    );
  const seen = new Set<string>();
  const kept: BadRecord[] = [];
  let numGood = 0;
  return {
    get numGood() {
      return numGood;
    },
    get numBad() {
      return seen.size;
    },
    badRecords: kept,
    addGood: () => {
      numGood++;
    },
    addBad: (bad) => {
      const key = describePlace(bad.place);
      if (!seen.has(key)) {
        seen.add(key);
        if (kept.length < numKept) kept.push(bad);
        onBad?.(bad);
      }
      if (seen.size <= maxBadShare * numRecords) return;
      const first = kept.slice(0, 3).map(({ message }) => `\n  ${message}`);
      throw new DatasetError(
        `readDataset: at most ${maxBadShare * 100} % of ${numRecords} records may be bad, got ${seen.size} bad ones. Repair them, or raise maxBadShare. The first:${first.join("")}`,
      );
    },
  };
};
