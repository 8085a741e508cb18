/** Datasets in Parquet, as Hugging Face stores them: text, and images as bytes, in the columns of one file. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  type AsyncBuffer,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { DatasetError, RecordError } from "../errors.js";
import {
  checkMediaFiles,
  createRecordParser,
  type DatasetOptions,
  type RecordFormat,
} from "./json-dataset.node.js";
import { checkRecordIndex, type SampleReader, tryRecord } from "./sample-reader.js";

export type ParquetOptions = DatasetOptions & {
  /**
   * Most uncompressed bytes of row groups in memory; default 1 GiB. Files with an offset index are read by row and need no
   * group.
   */
  readonly maxGroupBytes?: number;
};

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** Snappy and none are the library's own. */
const compressors: Compressors = {
  GZIP: (input) => new Uint8Array(gunzipSync(input)),
  BROTLI: (input) => new Uint8Array(brotliDecompressSync(input)),
};

const bufferOf = (file: FileHandle, path: string, byteLength: number): AsyncBuffer => ({
  byteLength,
  slice: async (start, end = byteLength) => {
    const bytes = new Uint8Array(end - start);
    for (let filled = 0; filled < bytes.length; ) {
      const { bytesRead } = await file.read(bytes, filled, bytes.length - filled, start + filled);
      if (bytesRead === 0)
        throw new DatasetError(
          `openParquetDataset: a dataset must not change while it is read, got a shorter ${path}. Open it again.`,
        );
      filled += bytesRead;
    }
    return bytes.buffer;
  },
});

/** 64-bit numbers as plain ones, or as text where those would be inexact. */
const plainValue = (value: unknown): unknown => {
  if (typeof value === "bigint")
    return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainValue(inner)]));
};

/**
 * Hugging Face's `Sequence` of a dictionary is stored as a dictionary of lists: `{from: [...], value: [...]}`, which is the
 * list `[{from, value}, ...]`.
 */
const listOfTurns = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const columns = Object.entries(value);
  const lists = columns.flatMap(([, list]) => (Array.isArray(list) ? [list] : []));
  const [first] = lists;
  if (first === undefined || lists.length !== columns.length) return value;
  if (lists.some(({ length }) => length !== first.length)) return value;
  return first.map((_, at) =>
    Object.fromEntries(columns.map(([key], column) => [key, lists[column][at]])),
  );
};

type Row = Record<string, unknown>;
type Group = { readonly start: number; readonly end: number; readonly numBytes: number };

const groupsOf = ({ row_groups }: FileMetaData): Group[] => {
  let start = 0;
  return row_groups.map(({ num_rows, total_byte_size }) => {
    const group = { start, end: start + Number(num_rows), numBytes: Number(total_byte_size) };
    start = group.end;
    return group;
  });
};

/** Column chunks that cost little to decode for a single row. */
const smallChunkBytes = 64 * 1024;

/** Whether single rows can be read: writers leave the offset index out where a chunk is one page. */
const hasOffsetIndex = ({ row_groups }: FileMetaData): boolean => {
  const chunks = row_groups.flatMap(({ columns }) => columns);
  const plain = chunks.filter(({ offset_index_offset }) => offset_index_offset === undefined);
  const isSmall = plain.every(
    ({ meta_data }) => Number(meta_data?.total_uncompressed_size ?? 0) <= smallChunkBytes,
  );
  return plain.length < chunks.length && isSmall;
};

/**
 * Opens a Parquet file with the fields of `format` as columns. With an offset index single rows are read; without one
 * whole row groups are, and the last ones stay in memory: a random order over more than `maxGroupBytes` is then slow.
 *
 * @throws DatasetError where the file cannot be read or is no Parquet.
 */
export const openParquetDataset = async (
  path: string,
  format: RecordFormat,
  options: ParquetOptions = {},
): Promise<SampleReader> => {
  const { checkMedia = true, maxGroupBytes = 2 ** 30 } = options;
  const parse = createRecordParser(format, options);
  let file: FileHandle | undefined;
  let metadata: FileMetaData;
  let buffer: AsyncBuffer;
  try {
    file = await open(path, "r");
    buffer = bufferOf(file, path, (await file.stat()).size);
    metadata = await parquetMetadataAsync(buffer, { geoparquet: false });
  } catch (cause) {
    await file?.close();
    throw new DatasetError(
      `openParquetDataset: a dataset must be a readable Parquet file, got ${reasonOf(cause)} in ${path}. Fetch it again.`,
      { cause },
    );
  }
  const opened = file;
  const groups = groupsOf(metadata);
  const length = groups.at(-1)?.end ?? 0;
  const byRow = hasOffsetIndex(metadata);
  // The footer holds the place and size of every column chunk, and mostly their bounds.
  const footer = await buffer.slice(buffer.byteLength - metadata.metadata_length - 8);
  const fingerprint = createHash("sha256")
    .update(`${buffer.byteLength} `)
    .update(new Uint8Array(footer))
    .digest("hex")
    .slice(0, 16);

  const readRows = async (rowStart: number, rowEnd: number): Promise<readonly Row[]> => {
    try {
      return await parquetReadObjects({
        file: buffer,
        metadata,
        rowStart,
        rowEnd,
        compressors,
        // Bytes without a text annotation are images, not text.
        utf8: false,
        geoparquet: false,
        useOffsetIndex: byRow,
      });
    } catch (cause) {
      if (cause instanceof DatasetError) throw cause;
      throw new RecordError(
        `readRecord: rows ${rowStart} to ${rowEnd - 1} must be Parquet that can be decoded, got ${reasonOf(cause)}. Fetch the file again, or write it with snappy, gzip or brotli.`,
        { cause },
      );
    }
  };
  /** Decoded groups, the one used last at the end, up to `maxGroupBytes` together. */
  const held = new Map<Group, readonly Row[]>();
  const readGroup = async (index: number): Promise<Row> => {
    const group = groups.find(({ end }) => index < end);
    if (group === undefined || group.numBytes > maxGroupBytes)
      throw new RecordError(
        `readRecord: a row group has at most ${maxGroupBytes} bytes, got ${group?.numBytes}. Write smaller groups or an offset index, or raise maxGroupBytes.`,
      );
    const known = held.get(group);
    held.delete(group);
    let numBytes = group.numBytes;
    for (const { numBytes: more } of held.keys()) numBytes += more;
    for (const oldest of held.keys()) {
      if (numBytes <= maxGroupBytes) break;
      held.delete(oldest);
      numBytes -= oldest.numBytes;
    }
    const rows = known ?? (await readRows(group.start, group.end));
    held.set(group, rows);
    return rows[index - group.start];
  };
  // One group after the other: a batch asks for many rows at once, and each may lie in a group of its own.
  let queue: Promise<unknown> = Promise.resolve();
  const readRow = async (index: number): Promise<Row> => {
    if (byRow) return (await readRows(index, index + 1))[0];
    const row = queue.then(() => readGroup(index));
    queue = row.catch(() => undefined);
    return row;
  };

  const turnColumns = [options.columns?.turns ?? "conversations", "messages"];
  return {
    name: path,
    length,
    fingerprint: `${basename(path)}#${fingerprint}`,
    read: async (index) => {
      checkRecordIndex(path, index, length);
      const place = { file: path, row: index };
      return tryRecord(place, async () => {
        const row = plainValue({ ...(await readRow(index)) }) as Row;
        for (const name of turnColumns) if (name in row) row[name] = listOfTurns(row[name]);
        const sample = parse(row, place);
        return checkMedia ? checkMediaFiles(sample) : sample;
      });
    },
    close: () => opened.close(),
  };
};
