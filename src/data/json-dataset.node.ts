/** Datasets in JSON and JSON lines: LLaVA, ShareGPT, `messages` beside `images`, OpenAI chat. */
import { access } from "node:fs/promises";
import { OptionsError, RecordError } from "../errors.js";
import type { ConversationSample, RecordPlace } from "./conversation-sample.js";
import { parseOpenAiRecord } from "./openai-record.js";
import { openRecordFile } from "./record-file.node.js";
import type { RecordOptions } from "./record-schema.js";
import { type SampleReader, tryRecord } from "./sample-reader.js";
import {
  llavaColumns,
  messagesColumns,
  parseTurnRecord,
  shareGptColumns,
  type TurnColumns,
} from "./turn-record.js";

const columnsOf = {
  llava: llavaColumns,
  sharegpt: shareGptColumns,
  messages: messagesColumns,
} as const;

export type RecordFormat = keyof typeof columnsOf | "openai";
export const recordFormats: readonly RecordFormat[] = ["llava", "sharegpt", "messages", "openai"];

export type DatasetOptions = RecordOptions & {
  /** Names of the fields, where they are not the format's own (LLaMA-Factory's `dataset_info.json`). */
  readonly columns?: Partial<TurnColumns>;
  /** Whether a record whose media files do not exist is bad; default true. */
  readonly checkMedia?: boolean;
};

export type RecordParser = (value: unknown, place: RecordPlace) => ConversationSample;

/** @throws OptionsError for an unknown format, and for columns where the format has none. */
export const createRecordParser = (
  format: RecordFormat,
  options: DatasetOptions = {},
): RecordParser => {
  if (!recordFormats.includes(format))
    throw new OptionsError(
      `openDataset: format must be one of ${recordFormats.join(", ")}, got ${JSON.stringify(format)}. Choose one of them.`,
    );
  if (format === "openai") {
    if (options.columns || options.untaggedMedia)
      throw new OptionsError(
        "openDataset: the format openai has its own fields and places images itself, got columns or untaggedMedia. Leave them out.",
      );
    return (value, place) => parseOpenAiRecord(value, place, options);
  }
  const columns: TurnColumns = { ...columnsOf[format], ...options.columns };
  return (value, place) => parseTurnRecord(value, place, columns, options);
};

/** @throws RecordError where a file that the sample names does not exist. */
export const checkMediaFiles = async (sample: ConversationSample): Promise<ConversationSample> => {
  for (const medium of sample.media) {
    if (!("path" in medium)) continue;
    try {
      await access(medium.path);
    } catch (cause) {
      throw new RecordError(
        `readRecord: the ${medium.type} of a record must be a file, got none at ${medium.path}. Fetch it, or check mediaRoot.`,
        { cause },
      );
    }
  }
  return sample;
};

/**
 * Opens a JSON array or JSON-lines file of `format`. The file is indexed once and read record by record.
 *
 * @throws DatasetError where the file cannot be read, OptionsError for options that the format does not have.
 */
export const openJsonDataset = async (
  path: string,
  format: RecordFormat,
  options: DatasetOptions & { readonly maxRecordBytes?: number } = {},
): Promise<SampleReader> => {
  const parse = createRecordParser(format, options);
  const { checkMedia = true, maxRecordBytes } = options;
  const file = await openRecordFile(path, { ...(maxRecordBytes && { maxRecordBytes }) });
  return {
    name: path,
    length: file.length,
    fingerprint: file.fingerprint,
    read: async (index) => {
      const place = file.placeOf(index);
      return tryRecord(place, async () => {
        const sample = parse(await file.read(index), place);
        return checkMedia ? checkMediaFiles(sample) : sample;
      });
    },
    close: () => file.close(),
  };
};
