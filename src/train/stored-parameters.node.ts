/** The stored values of a model, by the names that its parameters have here. */
import { WeightsMismatchError } from "../errors.js";
import type { ResolvedModel } from "../load/resolved-model.js";
import type { TensorData } from "../tensor-data.js";
import type { RenameTable } from "../weights/rename.js";
import { readTensor } from "../weights/safetensors-file.node.js";
import { widenTensor } from "../weights/widen.js";

export type StoredParameters = {
  /** Name of the tensor that holds a parameter. Throws `WeightsMismatchError` where no rule gives one. */
  readonly publishedName: (name: string) => string;
  /** A parameter's value as float32. Throws `WeightsMismatchError` where the folder has none. */
  readonly read: (name: string) => Promise<TensorData<"float32">>;
};

/** `names`: those of the model's system. */
export const storedParameters = (
  { folder, tensors }: Pick<ResolvedModel, "tensors"> & { readonly folder: { name: string } },
  names: RenameTable,
): StoredParameters => {
  const publishedName = (name: string): string => {
    const published = names.toPublished(name);
    if (published !== undefined) return published;
    throw new WeightsMismatchError(
      `storedParameters: every parameter must have a published name, got none for "${name}"; add a rename rule, or correct the name`,
      [name],
      [],
      [],
    );
  };
  const read: StoredParameters["read"] = async (name) => {
    const stored = tensors.get(publishedName(name));
    if (stored !== undefined) return widenTensor(await readTensor(stored.file, stored.entry));
    throw new WeightsMismatchError(
      `storedParameters: ${folder.name} must hold "${publishedName(name)}", got nothing of that name; initialise it in the recipe's model.initialise`,
      [publishedName(name)],
      [],
      [],
    );
  };
  return { publishedName, read };
};
