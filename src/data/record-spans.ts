/**
 * Finds the records of a JSON array, or of a file with one JSON value per line, without parsing them: a dataset of
 * gigabytes is indexed in bounded memory, and a broken record does not take its neighbours with it.
 */

/** Bytes `start` to `end` of the file, beginning on `line` (from 1). `fault`: why it cannot be a record. */
export type RecordSpan = {
  readonly start: number;
  readonly end: number;
  readonly line: number;
  readonly fault?: string;
};

export type RecordScanner = {
  /** Takes the next bytes of the file. */
  push(chunk: Uint8Array): void;
  /** Reports what the end of the file leaves open. */
  finish(): void;
};

const newline = 10;
const quote = 34;
const comma = 44;
const openBracket = 91;
const backslash = 92;
const closeBracket = 93;
const openBrace = 123;
const closeBrace = 125;
/** JSON's white space, and the bytes of a byte order mark, which some editors write in front. */
const isBlank = (byte: number): boolean =>
  byte === 32 || byte === newline || byte === 13 || byte === 9;
const isMark = (byte: number): boolean => byte === 0xef || byte === 0xbb || byte === 0xbf;

type Layout = "unknown" | "array" | "lines" | "ended";

/** `emit` receives the records in order. A file that starts with `[` is an array, every other one has a record per line. */
export const createRecordScanner = (emit: (span: RecordSpan) => void): RecordScanner => {
  let layout: Layout = "unknown";
  let offset = 0;
  let line = 1;
  let start = -1;
  let startLine = 1;
  let end = -1;
  let depth = 0;
  let inString = false;
  let escaped = false;

  const begin = (at: number) => {
    start = at;
    startLine = line;
  };
  const close = (fault?: string) => {
    if (start >= 0) emit({ start, end, line: startLine, ...(fault !== undefined && { fault }) });
    start = -1;
  };

  const scanLines = (chunk: Uint8Array, from: number) => {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === newline) {
        close();
        line++;
      } else if (!isBlank(byte)) {
        if (start < 0) begin(offset + at);
        // Straight to the end of the line; trailing blanks do no harm to JSON.
        const next = chunk.indexOf(newline, at);
        at = (next < 0 ? chunk.length : next) - 1;
        end = offset + at + 1;
      }
    }
  };

  const scanArray = (chunk: Uint8Array, from: number): number => {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === newline) {
        line++;
        // No JSON string has a raw line break: the quote is missing, and ends here for what follows.
        inString = false;
        escaped = false;
        continue;
      }
      if (inString) {
        if (escaped) escaped = false;
        else if (byte === backslash) escaped = true;
        else if (byte === quote) inString = false;
        end = offset + at + 1;
        continue;
      }
      if (isBlank(byte)) continue;
      if (depth === 0 && byte === comma) {
        close();
        continue;
      }
      if (depth === 0 && byte === closeBracket) {
        close();
        layout = "ended";
        return at + 1;
      }
      if (start < 0) begin(offset + at);
      end = offset + at + 1;
      if (byte === quote) inString = true;
      else if (byte === openBrace || byte === openBracket) depth++;
      else if ((byte === closeBrace || byte === closeBracket) && depth > 0) depth--;
    }
    return chunk.length;
  };

  /** One span for everything that follows the array. */
  const scanRest = (chunk: Uint8Array, from: number) => {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at];
      if (byte === newline) line++;
      else if (!isBlank(byte)) {
        if (start < 0) begin(offset + at);
        end = offset + at + 1;
      }
    }
  };

  return {
    push: (chunk) => {
      let at = 0;
      if (layout === "unknown") {
        while (at < chunk.length && (isBlank(chunk[at]) || isMark(chunk[at]))) {
          if (chunk[at++] === newline) line++;
        }
        if (at < chunk.length) {
          layout = chunk[at] === openBracket ? "array" : "lines";
          if (layout === "array") at++;
        }
      }
      if (layout === "lines") scanLines(chunk, at);
      if (layout === "array") at = scanArray(chunk, at);
      if (layout === "ended") scanRest(chunk, at);
      offset += chunk.length;
    },
    finish: () => {
      if (layout === "lines") close();
      if (layout === "ended") close("a JSON array must be the whole file, got text after its end");
      if (layout !== "array") return;
      if (start < 0) {
        start = offset;
        end = offset;
        startLine = line;
        close('a JSON array must end with "]", got the end of the file');
      } else
        close(
          `a record must be complete, got the end of the file ${offset - start} bytes after its start`,
        );
    },
  };
};
