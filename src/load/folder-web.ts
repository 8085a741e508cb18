import type { TensorData } from "../tensor-data.js";
import type { FolderFiles, StoredTensor } from "../weights/folder-files.js";
import {
  type BlobSource,
  type FetchOptions,
  fetchedBlobs,
  filesOfBlobs,
  type GivenFiles,
  givenBlobs,
} from "../weights/folder-files-web.js";
import { type ModelFolder, readModelFolder } from "../weights/model-folder.js";

/** Where a page has a model: its folder's address, or its files. */
export type WebFolderSource = string | URL | GivenFiles;

/** A model folder in a browser. */
export type WebFolder = {
  readonly folder: ModelFolder;
  /** The files that tensors (of the folder or of its parts) lie in, for `createWebEngine`. */
  readonly weightFiles: (
    tensors: ReadonlyMap<string, StoredTensor>,
  ) => Promise<ReadonlyMap<string, Blob>>;
  /** Reads one of its tensors. */
  readonly readTensor: (stored: StoredTensor) => Promise<TensorData>;
  /** Any file of the folder; undefined where there is none. */
  readonly readFile: (name: string) => Promise<Blob | undefined>;
};

/** Of an address of the hub the repository, else the last folder. */
const nameOf = (address: string): string => {
  const path = new URL(address).pathname;
  return /([^/]+\/[^/]+)\/resolve\/[^/]+\/$/.exec(path)?.[1] ?? path.split("/").slice(-2)[0];
};

const blobsOf = (from: WebFolderSource, options: FetchOptions): BlobSource =>
  typeof from === "string" || from instanceof URL ? fetchedBlobs(from, options) : givenBlobs(from);

/** The files of any folder, such as an adapter's, from where a page has it. */
export const openWebFiles = (from: WebFolderSource, options: FetchOptions = {}): FolderFiles =>
  filesOfBlobs(blobsOf(from, options));

/**
 * Opens a model in a browser: from the address of its folder (of the hub:
 * `https://huggingface.co/<org>/<name>/resolve/main`), from a map of paths to contents, or from the
 * files of a folder dialogue. Fetches settings and weights; nothing is computed yet.
 *
 * @throws DownloadError for an address that does not answer or refuses; else as `readModelFolder`.
 */
export const openWebFolder = async (
  from: WebFolderSource,
  options: FetchOptions = {},
): Promise<WebFolder> => {
  const source = blobsOf(from, options);
  const files = filesOfBlobs(source);
  const isAddress = typeof from === "string" || from instanceof URL;
  return {
    folder: await readModelFolder(files, isAddress ? nameOf(source.path) : "files"),
    readTensor: files.readTensor,
    weightFiles: async (tensors) => {
      const files = new Map<string, Blob>();
      for (const name of new Set([...tensors.values()].map(({ file }) => file))) {
        const blob = await source.get(name);
        if (blob) files.set(name, blob);
      }
      return files;
    },
    readFile: (name) => source.get(name),
  };
};
