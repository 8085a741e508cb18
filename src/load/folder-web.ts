import type { StoredTensor } from "../weights/folder-files.js";
import {
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
  /** Any file of the folder; undefined where there is none. */
  readonly readFile: (name: string) => Promise<Blob | undefined>;
};

/** Of an address of the hub the repository, else the last folder. */
const nameOf = (address: string): string => {
  const path = new URL(address).pathname;
  return /([^/]+\/[^/]+)\/resolve\/[^/]+\/$/.exec(path)?.[1] ?? path.split("/").slice(-2)[0];
};

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
  const isAddress = typeof from === "string" || from instanceof URL;
  const source = isAddress ? fetchedBlobs(from, options) : givenBlobs(from);
  return {
    folder: await readModelFolder(filesOfBlobs(source), isAddress ? nameOf(source.path) : "files"),
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
