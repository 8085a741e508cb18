import { ModelConfigError, OptionsError, TokenizerError, WeightsMismatchError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { readChatTemplate } from "./chat-template-file.js";
import { type FolderFiles, type JsonObject, readJson, type StoredTensor } from "./folder-files.js";
import { indexFileName, locateTensors, singleFileName } from "./weight-files.js";

/** A model as published: its settings as raw JSON, and where each tensor lies. Nothing stays open. */
export type ModelFolder = {
  /** Absolute path, or address. */
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

const noConfig = (path: string) =>
  new ModelConfigError(
    `openModelFolder: a model folder must hold config.json, got none in ${path}. Point to the folder that holds it.`,
  );

/**
 * Reads settings and tensor headers of a folder, no tensor. `part`: it may hold settings only.
 *
 * @throws ModelConfigError for missing or unreadable settings; ModelNotFoundError where the weights are no
 * safetensors; WeightsMismatchError where index and shards disagree; SafetensorsError for corrupt weights.
 */
export const readModelFolder = async (
  files: FolderFiles,
  name: string,
  part = false,
): Promise<ModelFolder> => {
  const { path } = files;
  const config = await readJson(files, "config.json");
  if (!config) throw noConfig(path);
  const optional = async (key: string, fileName: string): Promise<Record<string, JsonObject>> => {
    const settings = await readJson(files, fileName);
    return settings ? { [key]: settings } : {};
  };
  const chatTemplate = await readChatTemplate(files);
  const hasWeights =
    (await files.isPresent(singleFileName)) || (await files.isPresent(indexFileName));
  const tensors: ReadonlyMap<string, StoredTensor> =
    hasWeights || !part ? await locateTensors(files) : new Map();
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
      const tokenizer = await readJson(files, "tokenizer.json");
      if (tokenizer) return tokenizer;
      throw new TokenizerError(
        `readTokenizerJson: a model folder must hold tokenizer.json, got none in ${path}. For a folder with tokenizer.model only, save it once with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).`,
      );
    },
    tensors,
    readTensor: async (tensorName) => {
      const stored = tensors.get(tensorName);
      if (stored) return files.readTensor(stored);
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
      const part = files.subfolder(partName);
      return (await part.isPresent("config.json"))
        ? readModelFolder(part, `${name}/${partName}`, true)
        : undefined;
    },
  };
};
