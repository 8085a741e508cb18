import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import {
  ModelConfigError,
  ModelNotFoundError,
  OfflineError,
  OptionsError,
  TokenizerError,
  WeightsMismatchError,
} from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { readChatTemplate } from "./chat-template-file.node.js";
import {
  findSnapshot,
  type HubEnvironment,
  hubCacheFolder,
  isComplete,
  isOffline,
} from "./hub-cache.node.js";
import { type DownloadProgress, downloadModel } from "./hub-download.node.js";
import { type JsonObject, readJsonIfPresent } from "./json-file.node.js";
import { readTensor } from "./safetensors-file.node.js";
import {
  indexFileName,
  isPresent,
  locateTensors,
  type StoredTensor,
  singleFileName,
} from "./weight-files.node.js";

/** A model as published: its settings as raw JSON, and where each tensor lies. Nothing stays open. */
export type ModelFolder = {
  /** Absolute. */
  readonly path: string;
  /** The repository's name (`org/name`), or that of the folder. */
  readonly name: string;
  readonly config: JsonObject;
  readonly generationConfig?: JsonObject;
  readonly preprocessorConfig?: JsonObject;
  readonly processorConfig?: JsonObject;
  readonly tokenizerConfig?: JsonObject;
  readonly specialTokensMap?: JsonObject;
  /** Jinja source. */
  readonly chatTemplate?: string;
  /** Reads tokenizer.json, which may be large. @throws TokenizerError where there is none. */
  readonly readTokenizerJson: () => Promise<JsonObject>;
  /** By published name. Empty for a sub-folder that holds settings only. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Reads one tensor. @throws WeightsMismatchError where there is none of that name. */
  readonly readTensor: (name: string) => Promise<TensorData>;
  /** A part with its own config.json, such as `vision_tower`; undefined where there is none. */
  readonly subfolder: (name: string) => Promise<ModelFolder | undefined>;
};

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

const noConfig = (path: string) =>
  new ModelConfigError(
    `openModelFolder: a model folder must hold config.json, got none in ${path}. Point to the folder that holds it.`,
  );

const readFolder = async (path: string, name: string, part: boolean): Promise<ModelFolder> => {
  const file = (fileName: string) => join(path, fileName);
  const config = await readJsonIfPresent(file("config.json"));
  if (!config) throw noConfig(path);
  const optional = async (key: string, fileName: string): Promise<Record<string, JsonObject>> => {
    const settings = await readJsonIfPresent(file(fileName));
    return settings ? { [key]: settings } : {};
  };
  const chatTemplate = await readChatTemplate(path);
  const hasWeights =
    (await isPresent(file(singleFileName))) || (await isPresent(file(indexFileName)));
  const tensors: ReadonlyMap<string, StoredTensor> =
    hasWeights || !part ? await locateTensors(path) : new Map();
  return {
    path,
    name,
    config,
    ...(await optional("generationConfig", "generation_config.json")),
    ...(await optional("preprocessorConfig", "preprocessor_config.json")),
    ...(await optional("processorConfig", "processor_config.json")),
    ...(await optional("tokenizerConfig", "tokenizer_config.json")),
    ...(await optional("specialTokensMap", "special_tokens_map.json")),
    ...(chatTemplate !== undefined && { chatTemplate }),
    readTokenizerJson: async () => {
      const tokenizer = await readJsonIfPresent(file("tokenizer.json"));
      if (tokenizer) return tokenizer;
      throw new TokenizerError(
        `readTokenizerJson: a model folder must hold tokenizer.json, got none in ${path}. For a folder with tokenizer.model only, save it once with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).`,
      );
    },
    tensors,
    readTensor: async (tensorName) => {
      const stored = tensors.get(tensorName);
      if (stored) return readTensor(stored.file, stored.entry);
      throw new WeightsMismatchError(
        `readTensor: the name must be one of the ${tensors.size} tensors of ${path}, got "${tensorName}". Look in \`tensors\`.`,
        [tensorName],
        [],
        [],
      );
    },
    subfolder: async (partName) => {
      if (!/^[\w-]+$/.test(partName))
        throw new OptionsError(
          `subfolder: the name must be one plain folder name, got "${partName}". Leave out slashes and dots.`,
        );
      return (await isPresent(file(join(partName, "config.json"))))
        ? readFolder(file(partName), `${name}/${partName}`, true)
        : undefined;
    },
  };
};

const isRepository = (name: string): boolean =>
  /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name) && !/--|\.\./.test(name);

const checkRevision = (revision: string): void => {
  if (!/^[\w][\w.-]*(\/[\w][\w.-]*)*$/.test(revision) || revision.includes(".."))
    throw new OptionsError(
      `openModelFolder: revision must be a branch, tag or commit, got "${revision}". Leave it out for main.`,
    );
};

/**
 * Opens a model: a local folder as it is, or a hub repository `org/name` from the Hugging Face cache, downloading only
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
    return readFolder(path, basename(path), false);
  }
  if (stats)
    throw new ModelNotFoundError(
      `openModelFolder: the path must be a folder, got the file ${pathOrRepository}. Name the folder that holds it.`,
    );
  if (!isRepository(pathOrRepository))
    throw new ModelNotFoundError(
      `openModelFolder: the name must be a folder or a hub repository like org/name, got "${pathOrRepository}", which is neither. Check the spelling.`,
    );
  checkRevision(revision);
  const cached = await findSnapshot(cacheDir, pathOrRepository, revision);
  // Offline, a model without a tokenizer may still serve; online the missing files are looked for.
  if (cached && (await isComplete(cached, !offline)))
    return readFolder(cached, pathOrRepository, false);
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
  return readFolder(snapshot, pathOrRepository, false);
};
