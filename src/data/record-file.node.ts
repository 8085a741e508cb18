/** Random access to the JSON records of a file, by an index of their places (20 bytes each) made in one pass. */
import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { DatasetError, RecordError } from "../errors.js";
import type { RecordPlace } from "./conversation-sample.js";
import { createRecordScanner } from "./record-spans.js";
import { checkRecordIndex } from "./sample-reader.js";

export type RecordFile = {
  readonly path: string;
  readonly length: number;
  /** SHA-256 of the content, first 16 hexadecimal digits. */
  readonly fingerprint: string;
  placeOf(index: number): RecordPlace;
  /**
   * The parsed JSON of a record.
   *
   * @throws RecordError where it is no JSON, cut off or too large; DatasetError where the file cannot be read.
   */
  read(index: number): Promise<unknown>;
  close(): Promise<void>;
};

const chunkBytes = 1 << 20;
const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** Reads exactly `length` bytes at `position`. */
const readFully = async (
  file: FileHandle,
  path: string,
  position: number,
  length: number,
): Promise<Uint8Array> => {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await file.read(bytes, filled, length - filled, position + filled);
    if (bytesRead === 0)
      throw new DatasetError(
        `openRecordFile: a dataset must not change while it is read, got a shorter ${path}. Open it again.`,
      );
    filled += bytesRead;
  }
  return bytes;
};

type Index = {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly lines: Uint32Array;
  readonly faults: ReadonlyMap<number, string>;
  readonly fingerprint: string;
};

const indexRecords = async (file: FileHandle): Promise<Index> => {
  let starts = new Float64Array(1024);
  let ends = new Float64Array(1024);
  let lines = new Uint32Array(1024);
  let length = 0;
  const faults = new Map<number, string>();
  const scanner = createRecordScanner((span) => {
    if (length === starts.length) {
      const grow = <A extends Float64Array | Uint32Array>(from: A, to: A): A => {
        to.set(from);
        return to;
      };
      starts = grow(starts, new Float64Array(length * 2));
      ends = grow(ends, new Float64Array(length * 2));
      lines = grow(lines, new Uint32Array(length * 2));
    }
    starts[length] = span.start;
    ends[length] = span.end;
    lines[length] = span.line;
    if (span.fault !== undefined) faults.set(length, span.fault);
    length++;
  });
  const hash = createHash("sha256");
  const chunk = new Uint8Array(chunkBytes);
  for (let position = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, position);
    if (bytesRead === 0) break;
    const bytes = chunk.subarray(0, bytesRead);
    hash.update(bytes);
    scanner.push(bytes);
    position += bytesRead;
  }
  scanner.finish();
  return {
    starts: starts.subarray(0, length),
    ends: ends.subarray(0, length),
    lines: lines.subarray(0, length),
    faults,
    fingerprint: hash.digest("hex").slice(0, 16),
  };
};

/**
 * Indexes a file that holds a JSON array or one JSON value per line; it stays open until `close`. Records above
 * `maxRecordBytes` (default 64 MiB) are bad, so that memory stays bounded.
 *
 * @throws DatasetError where the file cannot be read.
 */
export const openRecordFile = async (
  path: string,
  { maxRecordBytes = 64 * 2 ** 20 }: { maxRecordBytes?: number } = {},
): Promise<RecordFile> => {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new DatasetError(
      `openRecordFile: a dataset must be a readable file, got ${reasonOf(cause)}. Check the path and its rights.`,
      { cause },
    );
  }
  let index: Index;
  try {
    if (!(await file.stat()).isFile()) throw new Error("something that is no regular file");
    index = await indexRecords(file);
  } catch (cause) {
    await file.close();
    throw new DatasetError(
      `openRecordFile: ${path} must be a readable file, got ${reasonOf(cause)}. Check the path.`,
      { cause },
    );
  }
  const { starts, ends, lines, faults, fingerprint } = index;
  const decoder = new TextDecoder("utf-8", { fatal: true });
  return {
    path,
    length: starts.length,
    fingerprint: `${basename(path)}#${fingerprint}`,
    placeOf: (at) => {
      checkRecordIndex(path, at, starts.length);
      return { file: path, line: lines[at] };
    },
    read: async (at) => {
      checkRecordIndex(path, at, starts.length);
      const fault = faults.get(at);
      if (fault !== undefined) throw new RecordError(`readRecord: ${fault}. Write the file again.`);
      const numBytes = ends[at] - starts[at];
      if (numBytes > maxRecordBytes)
        throw new RecordError(
          `readRecord: a record has at most ${maxRecordBytes} bytes, got ${numBytes}. Store its media as files, or raise maxRecordBytes.`,
        );
      const bytes = await readFully(file, path, starts[at], numBytes);
      try {
        return JSON.parse(decoder.decode(bytes)) as unknown;
      } catch (cause) {
        throw new RecordError(
          `readRecord: a record must be JSON in UTF-8, got ${reasonOf(cause)}. Repair the line.`,
          { cause },
        );
      }
    },
    close: () => file.close(),
  };
};
