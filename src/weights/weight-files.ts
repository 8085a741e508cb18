/**
 * Which files of a folder hold the weights: `model.safetensors`, or shards that `model.safetensors.index.json` lists
 * (https://huggingface.co/docs/transformers/big_models).
 */
import { ModelConfigError, ModelNotFoundError, WeightsMismatchError } from "../errors.js";
import { type FolderFiles, type JsonObject, readJson, type StoredTensor } from "./folder-files.js";

export const singleFileName = "model.safetensors";
export const indexFileName = "model.safetensors.index.json";

/**
 * `weight_map` of an index: tensor name to shard name.
 *
 * @throws ModelConfigError where it is absent or names anything but files of the same folder.
 */
export const parseWeightMap = (indexJson: JsonObject, file: string): Map<string, string> => {
  const { weight_map: weightMap } = indexJson;
  if (typeof weightMap !== "object" || weightMap === null || Array.isArray(weightMap))
    throw new ModelConfigError(
      `parseWeightMap: ${file} must hold the object weight_map, got ${JSON.stringify(weightMap)}. Fetch or write the index again.`,
    );
  const shards = new Map<string, string>();
  for (const [name, shard] of Object.entries(weightMap)) {
    // Also a guard: a downloaded index must not name files outside of its own folder.
    if (typeof shard !== "string" || !/^[\w.-]+\.safetensors$/.test(shard))
      throw new ModelConfigError(
        `parseWeightMap: ${file} must map "${name}" to a .safetensors file of the same folder, got ${JSON.stringify(shard)}. Fetch or write the index again.`,
      );
    shards.set(name, shard);
  }
  return shards;
};

const fail = (folder: string, missing: string[], unexpected: string[], rule: string) => {
  const list = (names: string[]) =>
    names.slice(0, 10).join(", ") + (names.length > 10 ? `, and ${names.length - 10} more` : "");
  const lines = [
    missing.length > 0 ? `\n  missing (${missing.length}): ${list(missing)}` : "",
    unexpected.length > 0 ? `\n  not in the index (${unexpected.length}): ${list(unexpected)}` : "",
  ];
  return new WeightsMismatchError(
    `locateTensors: ${rule}, got a difference in ${folder}.${lines.join("")}\nFetch the missing files, or write the folder again.`,
    missing,
    unexpected,
    [],
  );
};

const locateSharded = async (
  files: FolderFiles,
  indexJson: JsonObject,
): Promise<Map<string, StoredTensor>> => {
  const folder = files.path;
  const weightMap = parseWeightMap(indexJson, files.locate(indexFileName));
  const shards = [...new Set(weightMap.values())].sort();
  const present = await Promise.all(shards.map((shard) => files.isPresent(shard)));
  const absent = shards.filter((_, at) => !present[at]);
  if (absent.length > 0)
    throw fail(folder, absent, [], "every shard that the index lists must be in the folder");

  const located = new Map<string, StoredTensor>();
  const unexpected: string[] = [];
  for (const shard of shards) {
    const file = files.locate(shard);
    for (const [name, entry] of (await files.openWeights(shard)).tensors)
      if (weightMap.get(name) === shard) located.set(name, { file, entry });
      else unexpected.push(`${name} (in ${shard})`);
  }
  const missing = [...weightMap]
    .filter(([name]) => !located.has(name))
    .map(([name, shard]) => `${name} (should be in ${shard})`);
  if (missing.length + unexpected.length > 0)
    throw fail(folder, missing, unexpected, "the index and its shards must hold the same tensors");
  return located;
};

const noWeights = async (files: FolderFiles): Promise<ModelNotFoundError> => {
  const folder = files.path;
  const names = await files.list();
  const legacy = names.find(
    (name) => /\.(bin|pth|pt|ckpt)$/.test(name) && name !== "training_args.bin",
  );
  if (legacy)
    return new ModelNotFoundError(
      `locateTensors: the weights must be safetensors, got only ${legacy} in ${folder}. ${legacyWayOut}`,
    );
  const shard = names.find((name) => name.endsWith(".safetensors"));
  if (shard)
    return new ModelNotFoundError(
      `locateTensors: the weights must be ${singleFileName} or shards with ${indexFileName}, got ${shard} without an index in ${folder}. Fetch the index as well, or rename the file if it is the only one.`,
    );
  return new ModelNotFoundError(
    `locateTensors: the folder must hold ${singleFileName} or ${indexFileName}, got neither in ${folder}. Point to a folder that holds a whole model.`,
  );
};

/** What to do with weights that only exist as PyTorch pickles, which run code when they are read. */
export const legacyWayOut =
  "Convert them once in Python: load the model with transformers and call save_pretrained(folder, safe_serialization=True); or choose a repository that publishes safetensors.";

/**
 * Finds every tensor of a folder. `model.safetensors` wins over an index, as in transformers.
 *
 * @throws ModelNotFoundError where there are no safetensors weights; WeightsMismatchError where index and shards
 * disagree; SafetensorsError for corrupt files.
 */
export const locateTensors = async (files: FolderFiles): Promise<Map<string, StoredTensor>> => {
  if (await files.isPresent(singleFileName)) {
    const file = files.locate(singleFileName);
    const { tensors } = await files.openWeights(singleFileName);
    return new Map([...tensors].map(([name, entry]) => [name, { file, entry }]));
  }
  const indexJson = await readJson(files, indexFileName);
  if (indexJson) return locateSharded(files, indexJson);
  throw await noWeights(files);
};
