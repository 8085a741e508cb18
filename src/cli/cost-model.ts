import type { CostModel } from "../cost/cost-report.js";
import { OptionsError } from "../errors.js";
import { presets } from "../load/presets.js";
import { type PublishedSize, publishedModel, publishedSizes } from "../load/published-sizes.js";
import { chooseProcessor, resolveModel } from "../load/resolved-model.js";
import { parseSystem, type SystemOptions } from "../systems/system.js";
import type { DType } from "../tensor-data.js";
import type { StoredTensor } from "../weights/folder-files.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";

/** A model to be estimated, and how large its weights are stored. */
export type OpenedCostModel = {
  readonly model: CostModel;
  readonly weightBytes?: number;
  readonly weightType?: DType;
};

/** Published sizes, then those that `saccade init` writes. */
export const presetNames = [...Object.keys(publishedSizes), ...Object.keys(presets)];

export const isPreset = (name: string): boolean => presetNames.includes(name);

const isPublished = (name: string): name is PublishedSize => Object.hasOwn(publishedSizes, name);

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
  // Published weights have 16 bits.
  if (isPublished(name)) return { model: publishedModel(name), weightType: "bfloat16" };
  const own = Object.entries(presets).find(([preset]) => preset === name)?.[1];
  if (own === undefined) {
    throw new OptionsError(
      `cost: the preset must be one of ${presetNames.join(", ")}, got ${JSON.stringify(name)}`,
    );
  }
  const system = parseSystem(own.config, own.visionConfig, options);
  return { model: { system, processor: chooseProcessor(system, own) } };
};
