import { ModelNotFoundError, WeightsMismatchError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { type FolderFiles, readJson } from "../weights/folder-files.js";
import type { RenameTable } from "../weights/rename.js";
import { widenTensor } from "../weights/widen.js";
import {
  adapterFiles,
  adapterScale,
  fromAdapterName,
  type LoraConfig,
  parseAdapterConfig,
} from "./lora-adapter.js";

export type LoraAdapter = {
  readonly config: LoraConfig;
  readonly scale: number;
  /** By the model's full names. */
  readonly tensors: ReadonlyMap<string, TensorData<"float32">>;
};

/**
 * Reads an adapter's folder for a model of these names. Throws `ModelNotFoundError` for a folder that
 * is none, `ModelConfigError` for other kinds of adapters and `WeightsMismatchError` for names that
 * the model does not have.
 */
export const readAdapter = async (
  folder: FolderFiles,
  names: RenameTable,
): Promise<LoraAdapter> => {
  const settings = await readJson(folder, adapterFiles.config);
  if (settings === undefined) {
    throw new ModelNotFoundError(
      `readAdapter: an adapter's folder must hold ${adapterFiles.config}, got none in ${folder.path}; name a folder that PEFT or saccade train wrote`,
    );
  }
  const config = parseAdapterConfig(settings);
  const file = folder.locate(adapterFiles.weights);
  const stored = await folder.openWeights(adapterFiles.weights);
  const tensors = new Map<string, TensorData<"float32">>();
  const unexpected: string[] = [];
  for (const [name, entry] of stored.tensors) {
    const internal = names.toInternal(fromAdapterName(name));
    if (internal === undefined) unexpected.push(name);
    else tensors.set(internal, widenTensor(await folder.readTensor({ file, entry })));
  }
  if (unexpected.length > 0) {
    throw new WeightsMismatchError(
      `readAdapter: ${folder.path} must fit the model, got ${unexpected.length} tensors of layers that it does not have, the first is "${unexpected[0]}"; load the base that it was trained on`,
      [],
      unexpected,
      [],
    );
  }
  return { config, scale: adapterScale(config), tensors };
};
