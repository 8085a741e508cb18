import type { CostModel } from "../cost/cost-report.js";
import type { ParameterSource } from "../graph/index.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import { locateParameters } from "../load/parameter-source.js";
import { presetModel } from "../load/preset-model.js";
import { resolveModel } from "../load/resolved-model.js";
import { ignoredTensors, type SystemOptions } from "../systems/system.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";

/** A model to be measured: its own weights from a folder or the hub, or a preset with random ones. */
export type MeasuredModel = {
  /** What the report calls it. */
  readonly name: string;
} & (
  | {
      readonly model: string;
      readonly options?: Omit<ModelFolderOptions, "signal" | "onProgress"> & SystemOptions;
    }
  | {
      readonly preset: string;
      /** Keys of `config.json` that are to be different. */
      readonly changes?: Readonly<Record<string, unknown>>;
      readonly options?: SystemOptions;
    }
);

export type ResolvedMeasuredModel = {
  readonly model: CostModel;
  /** Weights where they lie, and their bytes; absent for presets. */
  readonly stored?: { readonly parameters: ParameterSource; readonly numBytes: number };
};

/** Finds a model's settings and weights; nothing is read. Throws what `loadModel` and `presetModel` throw. */
export const resolveMeasuredModel = async (
  asked: MeasuredModel,
): Promise<ResolvedMeasuredModel> => {
  if ("preset" in asked) {
    const { system, processor } = presetModel(asked.preset, {
      ...asked.options,
      ...(asked.changes && { changes: asked.changes }),
    });
    return { model: { system, processor } };
  }
  const { options = {} } = asked;
  const folder = await openModelFolder(asked.model, options);
  const openTower = (tower: string) => openModelFolder(tower, options);
  const { system, processor, tensors } = await resolveModel(folder, openTower, options);
  const parameters = locateParameters(
    system.params,
    await locateForEngine(tensors),
    createRenameTable(system.names),
    { ignore: ignoredTensors },
  );
  const numBytes = [...tensors.values()].reduce((sum, { entry }) => sum + entry.byteLength, 0);
  return { model: { system, processor }, stored: { parameters, numBytes } };
};
