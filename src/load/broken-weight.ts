import type { TensorData } from "../tensor-data.js";
import type { ModelFolder } from "../weights/model-folder.js";

/** Bits that are all set in NaN and in infinity, for the types that are stored as raw bits. */
const exponents = { float16: 0x7c00, bfloat16: 0x7f80 } as const;

const hasFiniteElements = ({ dtype, data }: TensorData): boolean => {
  if (dtype === "float32") return data.every(Number.isFinite);
  if (dtype !== "float16" && dtype !== "bfloat16") return true;
  const exponent = exponents[dtype];
  return data.every((bits) => (bits & exponent) !== exponent);
};

/**
 * The first tensor of `folders` that holds NaN or infinity, by its published name; undefined where
 * all are finite. Reads every weight, one at a time: for explaining a failure, not for every load.
 */
export const findBrokenWeight = async (
  folders: readonly ModelFolder[],
): Promise<string | undefined> => {
  for (const folder of folders) {
    for (const name of folder.tensors.keys()) {
      if (!hasFiniteElements(await folder.readTensor(name))) return name;
    }
  }
  return undefined;
};
