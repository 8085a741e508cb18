/** Random access to the samples of a dataset, whatever its format; bad records are values, not exceptions. */
import { OptionsError, RecordError } from "../errors.js";
import { type ConversationSample, describePlace, type RecordPlace } from "./conversation-sample.js";
import type { ReadReport } from "./read-report.js";

/** A record that cannot be used, and why. */
export type BadRecord = { readonly place: RecordPlace; readonly message: string };

export type ReadResult = { readonly sample: ConversationSample } | { readonly bad: BadRecord };

export type SampleReader = {
  readonly name: string;
  /** Records, good and bad. */
  readonly length: number;
  /** Changes when the data changes; a resumed run checks it. */
  readonly fingerprint: string;
  /**
   * Record `index`, 0 to `length` - 1.
   *
   * @throws OptionsError for another index, DatasetError where the file itself can no longer be read.
   */
  read(index: number): Promise<ReadResult>;
  close(): Promise<void>;
};

/** @throws OptionsError unless `index` is one of `length` records. */
export const checkRecordIndex = (name: string, index: number, length: number): void => {
  if (Number.isSafeInteger(index) && index >= 0 && index < length) return;
  throw new OptionsError(
    `read: an index of ${name} is a whole number below ${length}, got ${index}. Stay below its length.`,
  );
};

/** What `parse` gives, with a RecordError turned into a bad record; every other error stays one. */
export const tryRecord = async (
  place: RecordPlace,
  parse: () => ConversationSample | Promise<ConversationSample>,
): Promise<ReadResult> => {
  try {
    return { sample: await parse() };
  } catch (error) {
    if (!(error instanceof RecordError)) throw error;
    return { bad: { place, message: `${describePlace(place)}: ${error.message}` } };
  }
};

function* countUp(length: number): Generator<number> {
  for (let index = 0; index < length; index++) yield index;
}

/**
 * The good samples in the order of `indices` (default: as they lie), one in memory at a time. Bad records go to `report`.
 *
 * @throws DatasetError where the report's limit of bad records is passed.
 */
export async function* iterateSamples(
  reader: SampleReader,
  report: ReadReport,
  indices?: Iterable<number>,
): AsyncGenerator<ConversationSample> {
  for (const index of indices ?? countUp(reader.length)) {
    const result = await reader.read(index);
    if ("bad" in result) report.addBad(result.bad);
    else {
      report.addGood();
      yield result.sample;
    }
  }
}

/** The records `indices` of a reader, as a reader of its own. `name` and `fingerprint` tell which. */
export const selectSamples = (
  reader: SampleReader,
  indices: Uint32Array,
  label: string,
): SampleReader => ({
  name: `${reader.name} (${label})`,
  length: indices.length,
  fingerprint: `${reader.fingerprint}/${label}`,
  read: async (index) => {
    checkRecordIndex(reader.name, index, indices.length);
    return reader.read(indices[index]);
  },
  close: () => reader.close(),
});

/** Several readers as one, in order. */
export const concatSamples = (readers: readonly SampleReader[]): SampleReader => {
  const starts: number[] = [];
  let length = 0;
  for (const reader of readers) {
    starts.push(length);
    length += reader.length;
  }
  const name = readers.map((reader) => reader.name).join(" + ");
  return {
    name,
    length,
    fingerprint: readers.map(({ fingerprint }) => fingerprint).join("+"),
    read: async (index) => {
      checkRecordIndex(name, index, length);
      const at = starts.findLastIndex((start) => start <= index);
      return readers[at].read(index - starts[at]);
    },
    close: async () => {
      await Promise.all(readers.map((reader) => reader.close()));
    },
  };
};
