/** Files as HTTP answers: whole or one range, with a tag by which a browser asks again. */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { extname } from "node:path";
import { Readable } from "node:stream";

/** A file that may be sent. What is sent is decided when these are listed, never by a request's path. */
export type SentFile = {
  readonly path: string;
  readonly bytes: number;
  readonly etag: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Its bytes, where they are held in memory: what is sent then stays what it was. */
  readonly content?: Uint8Array<ArrayBuffer>;
};

const contentTypes: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".png": "image/png",
  ".jinja": "text/plain; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};

/** A file as it is now. Throws what the file system throws. */
export const describeFile = async (
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<SentFile> => {
  const { size, mtimeMs } = await stat(path);
  const type = contentTypes[extname(path)] ?? "application/octet-stream";
  return {
    path,
    bytes: size,
    etag: `"${size.toString(36)}-${Math.round(mtimeMs).toString(36)}"`,
    headers: { "content-type": type, ...headers },
  };
};

/** First and last byte that are asked for; undefined for the whole, null for what is not there. */
const parseRange = (
  text: string | null,
  bytes: number,
): readonly [first: number, last: number] | undefined | null => {
  const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(text ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return undefined;
  const first = from === "" ? Math.max(0, bytes - Number(to)) : Number(from);
  const last = from === "" || to === "" ? bytes - 1 : Math.min(Number(to), bytes - 1);
  return first <= last ? [first, last] : null;
};

/** A small file, held in memory. Throws what the file system throws. */
export const holdFile = async (
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<SentFile> => {
  const described = await describeFile(path, headers);
  const content = new Uint8Array(await readFile(path));
  return { ...described, content, bytes: content.byteLength };
};

/** The answer to a request for a file. */
export const fileResponse = (request: Request, file: SentFile): Response => {
  const { path, bytes, etag, content } = file;
  const headers = new Headers({ ...file.headers, etag, "accept-ranges": "bytes" });
  if (request.headers.get("if-none-match") === etag) {
    return new Response(null, { status: 304, headers });
  }
  const isCurrent = [null, etag].includes(request.headers.get("if-range"));
  const range = isCurrent ? parseRange(request.headers.get("range"), bytes) : undefined;
  if (range === null) {
    headers.set("content-range", `bytes */${bytes}`);
    return new Response(null, { status: 416, headers });
  }
  const [first, last] = range ?? [0, bytes - 1];
  headers.set("content-length", String(last - first + 1));
  if (range !== undefined) headers.set("content-range", `bytes ${first}-${last}/${bytes}`);
  const status = range === undefined ? 200 : 206;
  if (request.method === "HEAD" || bytes === 0) return new Response(null, { status, headers });
  if (content !== undefined) {
    return new Response(content.subarray(first, last + 1), { status, headers });
  }
  const stream = Readable.toWeb(createReadStream(path, { start: first, end: last }));
  return new Response(stream as ReadableStream<Uint8Array>, { status, headers });
};
