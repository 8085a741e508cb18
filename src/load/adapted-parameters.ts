import { LimitError, WeightsMismatchError } from "../errors.js";
import type { ParameterSource } from "../graph/index.js";
import type { TensorData } from "../tensor-data.js";
import type { FolderFiles, StoredTensor } from "../weights/folder-files.js";
import type { RenameTable } from "../weights/rename.js";
import { widenTensor } from "../weights/widen.js";
import { mergeAdapter } from "./lora-adapter.js";
import { readAdapter } from "./lora-adapter-folder.js";

/** Graphs hold merged weights themselves, and a graph's file may have 2 GB. */
const maxMergedBytes = 1.5e9;

/** The weights that an adapter adds to, by published name. */
export type StoredWeights = {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly readTensor: (stored: StoredTensor) => Promise<TensorData>;
};

/**
 * Parameters with an adapter's additions in them. Throws as `readAdapter`, and `LimitError` where more
 * changes than a graph can hold.
 */
export const adaptParameters = async (
  located: ParameterSource,
  adapter: FolderFiles,
  names: RenameTable,
  { tensors: stored, readTensor }: StoredWeights,
): Promise<ParameterSource> => {
  const { tensors, scale } = await readAdapter(adapter, names);
  const merged = await mergeAdapter(tensors, scale, async (name) => {
    const found = stored.get(names.toPublished(name) ?? "");
    if (found !== undefined) return widenTensor(await readTensor(found));
    throw new WeightsMismatchError(
      `adaptParameters: the adapter adds to "${name}", which the model does not have; load the base that it was trained on`,
      [],
      [name],
      [],
    );
  });
  const bytes = [...merged.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
  if (bytes > maxMergedBytes) {
    throw new LimitError(
      `adaptParameters: an adapter may change ${maxMergedBytes / 1e9} GB of weights while loading, got ${(bytes / 1e9).toFixed(1)} GB; write the merged model first (saccade merge)`,
    );
  }
  return (name, shape) => {
    const value = merged.get(name);
    if (value === undefined) return located(name, shape);
    const { buffer, byteOffset, byteLength } = value.data;
    return { dtype: "float32", content: new Uint8Array(buffer, byteOffset, byteLength) };
  };
};
