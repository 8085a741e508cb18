import { GraphError, WeightsMismatchError } from "../errors.js";
import type { ParameterSource, Tensor } from "../graph/index.js";
import { listParameters, type ParameterTree } from "../nn/parameter-scope.js";
import type { DType } from "../tensor-data.js";
import { type FoundWeight, matchWeights } from "../weights/matching.js";
import type { RenameTable } from "../weights/rename.js";
import type { TensorEntry } from "../weights/safetensors.js";

/** A tensor of a checkpoint: the file it lies in, as the engine will look for it, and where. */
export type LocatedTensor = FoundWeight & { readonly file: string; readonly entry: TensorEntry };

const floatTypes: readonly DType[] = ["float32", "float16", "bfloat16"];

/**
 * Matches a model's parameters with a checkpoint's tensors by a rename table, and tells the engine
 * where each one's bytes lie. Nothing is read. Throws `WeightsMismatchError` listing every missing,
 * unexpected and wrongly shaped tensor, or those that hold no floating-point numbers.
 */
export const locateParameters = (
  parameters: ParameterTree,
  found: ReadonlyMap<string, LocatedTensor>,
  names: RenameTable,
  { ignore = [] }: { readonly ignore?: readonly RegExp[] } = {},
): ParameterSource => {
  const declared = listParameters(parameters);
  const expected = new Map(
    [...declared].map(([name, tensor]: [string, Tensor]) => [name, tensor.shape.map(Number)]),
  );
  const matched = matchWeights(expected, found, names, { ignore });
  const noFloats = [...matched]
    .filter(([, { entry }]) => !floatTypes.includes(entry.dtype))
    .map(([name, { entry }]) => `${names.toPublished(name) ?? name} (${entry.dtype})`);
  if (noFloats.length > 0) {
    throw new WeightsMismatchError(
      `locateParameters: weights must be ${floatTypes.join(", ")}, got ${noFloats.slice(0, 10).join(", ")}${noFloats.length > 10 ? `, and ${noFloats.length - 10} more` : ""}; convert the model to one of them`,
      [],
      [],
      noFloats,
    );
  }
  return (name) => {
    const located = matched.get(name);
    if (located === undefined) {
      throw new GraphError(
        `locateParameters: "${name}" is not among the model's declared parameters; declare it there`,
      );
    }
    const { dtype, byteOffset, byteLength } = located.entry;
    return { dtype, content: { location: located.file, byteOffset, byteLength } };
  };
};
