import { ModelNotFoundError } from "../errors.js";
import type { Engine } from "../graph/index.js";
import { type LocatedTensor, locateParameters } from "../load/parameter-source.js";
import { ignoredTensors } from "../systems/system.js";
import type { ModelFolder } from "../weights/model-folder.js";
import { createRenameTable } from "../weights/rename.js";
import type { Recorded, VerifyContext } from "./recorded.js";
import { type VerifyResult, verifyModel } from "./verify.js";

/** The file of a model folder that holds recorded inputs and outputs. */
export const recordedFileName = "io.safetensors";

export const noRecordedFile = (folder: string, cause?: unknown): ModelNotFoundError =>
  new ModelNotFoundError(
    `verifyFolder: the folder must hold ${recordedFileName}, recorded inputs and outputs; got none in ${folder}`,
    { cause },
  );

/**
 * Runs the recorded inputs of an opened folder and compares. `found`: its tensors, each with the
 * file as `engine` looks for it; `readFile`: further files of the folder. `tolerance`: relative to each tensor's largest value.
 */
export const verifyRecordedFolder = async (
  folder: ModelFolder,
  recorded: Recorded,
  found: ReadonlyMap<string, LocatedTensor>,
  engine: Engine,
  readFile: VerifyContext["readFile"],
  tolerance?: number,
): Promise<VerifyResult> => {
  const tower = await folder.subfolder("vision_tower");
  return verifyModel(
    {
      recorded,
      config: folder.config,
      towerConfig: tower?.config,
      engine,
      readFile,
      locate: (parameters, names) =>
        locateParameters(parameters, found, createRenameTable(names), { ignore: ignoredTensors }),
    },
    tolerance,
  );
};
