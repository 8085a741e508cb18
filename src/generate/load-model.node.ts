import { createNodeEngine, type NodeEngineOptions } from "../graph/engine.node.js";
import { adaptParameters } from "../load/adapted-parameters.js";
import { findBrokenTensors } from "../load/broken-weights.node.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import { resolveModel } from "../load/resolved-model.js";
import type { SystemOptions } from "../systems/system.js";
import { filesOnDisk } from "../weights/folder-files.node.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";
import { readTensor } from "../weights/safetensors-file.node.js";
import { type AssembleOptions, assembleModel } from "./assemble-model.js";
import type { VisionLanguageModel } from "./model.js";

export type LoadModelOptions = ModelFolderOptions &
  NodeEngineOptions &
  SystemOptions &
  AssembleOptions & {
    /** Folder of a LoRA adapter in PEFT's layout, whose additions go into the weights. */
    readonly adapter?: string;
  };

/**
 * Loads a model of any system from a folder or a hub repository. Weights are mapped, not read. Throws
 * typed errors for everything that does not fit; nothing stays open then.
 */
export const loadModel = async (
  pathOrRepository: string,
  options: LoadModelOptions = {},
): Promise<VisionLanguageModel> => {
  const { adapter } = options;
  const open = (name: string) => openModelFolder(name, options);
  const resolved = await resolveModel(await open(pathOrRepository), open, options);
  const { tensors } = resolved;
  return assembleModel(
    resolved,
    {
      located: await locateForEngine(tensors),
      ...(adapter !== undefined && {
        adapt: (located, names) =>
          adaptParameters(located, filesOnDisk(adapter), names, {
            tensors,
            readTensor: ({ file, entry }) => readTensor(file, entry),
          }),
      }),
      createEngine: () => createNodeEngine(options),
      findBroken: async () => (await findBrokenTensors(tensors, { atMost: 1 }))[0]?.name,
    },
    options,
  );
};
