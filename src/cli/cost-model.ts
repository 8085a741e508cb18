import type { CostModel } from "../cost/cost-report.js";
import { presetModel } from "../load/preset-model.js";
import { resolveModel } from "../load/resolved-model.js";
import type { SystemOptions } from "../systems/system.js";
import type { DType } from "../tensor-data.js";
import type { StoredTensor } from "../weights/folder-files.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";

/** A model to be estimated, and how large its weights are stored. */
export type OpenedCostModel = {
  readonly model: CostModel;
  readonly weightBytes?: number;
  readonly weightType?: DType;
};

/** Bytes of all tensors as they are stored. */
export const storedBytes = (tensors: ReadonlyMap<string, StoredTensor>): number =>
  [...tensors.values()].reduce((sum, { entry }) => sum + entry.byteLength, 0);

/** A preset by name, or a model by folder or repository, of which only settings and headers are read. */
export const openCostModel = async (
  name: string,
  asPreset: boolean,
  options: ModelFolderOptions & SystemOptions,
): Promise<OpenedCostModel> => {
  if (!asPreset) {
    const folder = await openModelFolder(name, options);
    const openTower = (tower: string) => openModelFolder(tower, options);
    const { tensors, ...model } = await resolveModel(folder, openTower, options);
    return { model, weightBytes: storedBytes(tensors) };
  }
  const { variant, avgLlava } = options;
  const { isPublished, ...model } = presetModel(name, { variant, avgLlava });
  return { model, ...(isPublished && { weightType: "bfloat16" }) };
};
