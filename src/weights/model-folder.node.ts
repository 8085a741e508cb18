import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { ModelNotFoundError, OfflineError, OptionsError } from "../errors.js";
import { findEmbeddedModel } from "./embedded-models.node.js";
import { filesOnDisk } from "./folder-files.node.js";
import {
  findSnapshot,
  type HubEnvironment,
  hubCacheFolder,
  isComplete,
  isOffline,
} from "./hub-cache.node.js";
import { type DownloadProgress, downloadModel } from "./hub-download.node.js";
import { type ModelFolder, readModelFolder } from "./model-folder.js";

export type { ModelFolder };

export type ModelFolderOptions = {
  /** Never connect; also set by HF_HUB_OFFLINE=1. */
  readonly offline?: boolean;
  /** The Hugging Face cache; default from HF_HUB_CACHE, HF_HOME, else ~/.cache/huggingface/hub. */
  readonly cacheDir?: string;
  /** Branch, tag or commit of a hub repository; default `main`. */
  readonly revision?: string;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly signal?: AbortSignal;
  /** Where HF_* settings are read; default `process.env`. */
  readonly environment?: HubEnvironment;
};

const readOnDisk = (path: string, name: string): Promise<ModelFolder> =>
  readModelFolder(filesOnDisk(path), name);

const isRepository = (name: string): boolean =>
  /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name) && !/--|\.\./.test(name);

const checkRevision = (revision: string): void => {
  if (!/^[\w][\w.-]*(\/[\w][\w.-]*)*$/.test(revision) || revision.includes(".."))
    throw new OptionsError(
      `openModelFolder: revision must be a branch, tag or commit, got "${revision}". Leave it out for main.`,
    );
};

/**
 * Opens a model: a local folder as it is, an embedded model by its name, or a hub repository `org/name` from the Hugging Face cache, downloading only
 * what is needed and not cached. Reads settings and tensor headers, no tensor.
 *
 * @throws ModelNotFoundError where neither exists or the weights are no safetensors; OfflineError where it would have
 * to be downloaded and may not be; DownloadError for interrupted downloads; ModelConfigError for unreadable settings;
 * WeightsMismatchError where index and shards disagree; SafetensorsError for corrupt weights.
 */
export const openModelFolder = async (
  pathOrRepository: string,
  options: ModelFolderOptions = {},
): Promise<ModelFolder> => {
  const { environment = process.env, revision = "main", onProgress, signal } = options;
  const { cacheDir = hubCacheFolder(environment) } = options;
  const offline = options.offline === true || isOffline(environment);
  const stats = await stat(pathOrRepository).catch(() => undefined);
  if (stats?.isDirectory()) {
    const path = resolve(pathOrRepository);
    return readOnDisk(path, basename(path));
  }
  if (stats)
    throw new ModelNotFoundError(
      `openModelFolder: the path must be a folder, got the file ${pathOrRepository}. Name the folder that holds it.`,
    );
  const embedded = await findEmbeddedModel(pathOrRepository);
  if (embedded !== undefined) return readOnDisk(embedded, pathOrRepository);
  if (!isRepository(pathOrRepository))
    throw new ModelNotFoundError(
      `openModelFolder: the name must be a folder, an embedded model or a hub repository like org/name, got "${pathOrRepository}", which is none of them. Check the spelling.`,
    );
  checkRevision(revision);
  const cached = await findSnapshot(cacheDir, pathOrRepository, revision);
  // Offline, a model without a tokenizer may still serve; online the missing files are looked for.
  if (cached && (await isComplete(cached, !offline))) return readOnDisk(cached, pathOrRepository);
  if (offline)
    throw new OfflineError(
      `openModelFolder: offline, a model must be a folder or complete in the cache, got ${pathOrRepository} (revision ${revision}), of which ${cacheDir} holds ${cached ? "only a part" : "nothing"}. Run it once online, or copy the model into a folder and name that.`,
    );
  const snapshot = await downloadModel(pathOrRepository, {
    revision,
    cacheDir,
    environment,
    ...(onProgress && { onProgress }),
    ...(signal && { signal }),
  });
  return readOnDisk(snapshot, pathOrRepository);
};
