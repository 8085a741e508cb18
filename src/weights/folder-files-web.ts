/** The files of a model folder as blobs: fetched from an address, or given by the page. */
import { DownloadError, OptionsError, SafetensorsError } from "../errors.js";
import type { FolderFiles } from "./folder-files.js";
import { lengthBytes, parseHeaderLength, parseSafetensorsHeader } from "./safetensors.js";
import { tensorFromBytes } from "./tensor-bytes.js";

/** Files by their path within a model folder, such as `vision_tower/config.json`. */
export type BlobSource = {
  /** Where they come from, for messages. */
  readonly path: string;
  has(name: string): Promise<boolean>;
  get(name: string): Promise<Blob | undefined>;
  list(): readonly string[];
};

/** Files that the page has: by path, or as chosen in a file or folder dialogue. */
export type GivenFiles = ReadonlyMap<string, Blob | Uint8Array> | Iterable<File>;

const toBlob = (content: Blob | Uint8Array): Blob =>
  content instanceof Blob ? content : new Blob([content as Uint8Array<ArrayBuffer>]);

/** A folder dialogue gives `folder/path/name`, a file dialogue just the name. */
const pathInFolder = ({ webkitRelativePath = "", name }: File): string =>
  webkitRelativePath.split("/").slice(1).join("/") || name;

/** `GivenFiles` as blobs. Of files chosen by folder, the folder's own name is left out. */
export const givenBlobs = (files: GivenFiles): BlobSource => {
  const blobs = new Map<string, Blob>();
  const entries: Iterable<readonly [string, Blob | Uint8Array]> =
    files instanceof Map
      ? files
      : Array.from(files as Iterable<File>, (file) => [pathInFolder(file), file]);
  for (const [name, content] of entries) blobs.set(name, toBlob(content));
  return {
    path: "the given files",
    has: async (name) => blobs.has(name),
    get: async (name) => blobs.get(name),
    list: () => [...blobs.keys()],
  };
};

/** How far the download of one file is. `totalBytes` is absent where the server does not say. */
export type FetchProgress = {
  readonly file: string;
  readonly receivedBytes: number;
  readonly totalBytes?: number;
};

export type FetchOptions = {
  readonly onProgress?: (progress: FetchProgress) => void;
  readonly signal?: AbortSignal;
  /** Sent with every request, such as an API key in `authorization`. */
  readonly headers?: Readonly<Record<string, string>>;
};

/** Counts the bytes of a response on their way into its blob. */
const readBlob = async (
  response: Response,
  file: string,
  onProgress: (progress: FetchProgress) => void,
): Promise<Blob> => {
  // A compressed answer is longer when it arrives than its header says.
  const length = response.headers.has("content-encoding")
    ? undefined
    : response.headers.get("content-length");
  const total = length ? { totalBytes: Number(length) } : {};
  let receivedBytes = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      receivedBytes += chunk.byteLength;
      onProgress({ file, receivedBytes, ...total });
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(counter)).blob();
};

/**
 * Files below `address`, each fetched once, when it is first read. A file that the server has not
 * got (404, 410, or a page in its place as servers of single-page applications send) is absent.
 */
export const fetchedBlobs = (
  address: string | URL,
  { onProgress = () => {}, signal, headers = {} }: FetchOptions = {},
): BlobSource => {
  const base = new URL(String(address).replace(/\/*$/, "/"), globalThis.location?.href);
  const fetched = new Map<string, Promise<Blob | undefined>>();

  const request = async (name: string, method: "GET" | "HEAD"): Promise<Response | undefined> => {
    const url = new URL(name, base).href;
    let response: Response;
    try {
      response = await fetch(url, { method, headers, ...(signal && { signal }) });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new DownloadError(
        `fetchedBlobs: the server must answer, got "${cause instanceof Error ? cause.message : cause}" for ${url}. Check the address, the connection and the server's CORS headers.`,
        { cause },
      );
    }
    const isPage = /^text\/html\b/.test(response.headers.get("content-type") ?? "");
    if (response.status === 404 || response.status === 410 || (response.ok && isPage))
      return undefined;
    if (response.ok) return response;
    throw new DownloadError(
      `fetchedBlobs: the server must give the file, got HTTP ${response.status} for ${url}. Check the address and the access rights.`,
    );
  };

  const download = async (name: string): Promise<Blob | undefined> => {
    const response = await request(name, "GET");
    if (response === undefined) return undefined;
    try {
      return await readBlob(response, name, onProgress);
    } catch (cause) {
      signal?.throwIfAborted();
      throw new DownloadError(
        `fetchedBlobs: ${response.url} must arrive as a whole, got "${cause instanceof Error ? cause.message : cause}". Try again.`,
        { cause },
      );
    }
  };

  return {
    path: base.href,
    has: async (name) => {
      const known = fetched.get(name);
      if (known) return (await known) !== undefined;
      return (await request(name, "HEAD")) !== undefined;
    },
    get: (name) => {
      const known = fetched.get(name);
      if (known) return known;
      const started = download(name);
      fetched.set(name, started);
      // What failed may be tried again.
      started.catch(() => fetched.delete(name));
      return started;
    },
    // Servers do not list folders.
    list: () => [],
  };
};

const bytesOf = async (blob: Blob): Promise<Uint8Array> => new Uint8Array(await blob.arrayBuffer());

/** A folder made of blobs; tensors have the path of their file within `source`. */
export const filesOfBlobs = (source: BlobSource, folder = ""): FolderFiles => {
  const locate = (name: string): string => folder + name;
  const open = async (file: string): Promise<Blob> => {
    const blob = await source.get(file);
    if (blob) return blob;
    throw new SafetensorsError(
      `filesOfBlobs: ${file} must be among the files of ${source.path}, got none. Fetch or choose the whole folder.`,
    );
  };
  return {
    path: source.path + (folder && `, folder ${folder}`),
    locate,
    isPresent: (name) => source.has(locate(name)),
    readText: async (name) => (await source.get(locate(name)))?.text(),
    openWeights: async (name) => {
      const file = locate(name);
      const blob = await open(file);
      const start = await bytesOf(blob.slice(0, lengthBytes));
      const end = lengthBytes + parseHeaderLength(start, blob.size, file);
      return parseSafetensorsHeader(await bytesOf(blob.slice(lengthBytes, end)), blob.size, file);
    },
    readTensor: async ({ file, entry }) => {
      const blob = await open(file);
      const { byteOffset, byteLength } = entry;
      const bytes = await bytesOf(blob.slice(byteOffset, byteOffset + byteLength));
      return tensorFromBytes(entry, bytes, file);
    },
    list: async () =>
      source
        .list()
        .filter((name) => name.startsWith(folder))
        .map((name) => name.slice(folder.length)),
    subfolder: (name) => {
      if (!/^[\w-]+$/.test(name)) {
        throw new OptionsError(`subfolder: the name must be one plain folder name, got "${name}".`);
      }
      return filesOfBlobs(source, `${folder}${name}/`);
    },
  };
};
