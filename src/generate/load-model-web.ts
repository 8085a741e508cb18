import { ModelNotFoundError } from "../errors.js";
import { createWebEngine, type WebEngineOptions } from "../graph/engine-web.js";
import { adaptParameters } from "../load/adapted-parameters.js";
import { openWebFiles, openWebFolder, type WebFolderSource } from "../load/folder-web.js";
import { findNonFiniteTensor } from "../load/non-finite.js";
import { resolveModel } from "../load/resolved-model.js";
import type { SystemOptions } from "../systems/system.js";
import type { StoredTensor } from "../weights/folder-files.js";
import type { FetchOptions } from "../weights/folder-files-web.js";
import { type AssembleOptions, assembleModel } from "./assemble-model.js";
import type { VisionLanguageModel } from "./model.js";

export type LoadWebModelOptions = FetchOptions &
  Omit<WebEngineOptions, "files"> &
  SystemOptions &
  AssembleOptions & {
    /** A LoRA adapter in PEFT's layout, whose additions go into the weights. */
    readonly adapter?: WebFolderSource;
  };

/** A page has no cache of models in which a tower that is only named could be looked for. */
const openTower = async (name: string): Promise<never> => {
  throw new ModelNotFoundError(
    `loadModel: the vision tower "${name}" must be in the model's folder, as vision_tower/, got none; put its files there`,
  );
};

/**
 * Loads a model of any system in a browser, from the address of its folder or from its files; it
 * answers as in Node. Weights are fetched whole and handed to the engine's worker without a copy.
 * Throws `DownloadError`, and typed errors for everything that does not fit; nothing stays open then.
 */
export const loadModel = async (
  from: WebFolderSource,
  options: LoadWebModelOptions,
): Promise<VisionLanguageModel> => {
  const { adapter } = options;
  const model = await openWebFolder(from, options);
  const resolved = await resolveModel(model.folder, openTower, options);
  const { tensors } = resolved;
  const files = await model.weightFiles(tensors);
  const readTensor = (stored: StoredTensor) => model.readTensor(stored);
  return assembleModel(
    resolved,
    {
      located: tensors,
      ...(adapter !== undefined && {
        adapt: (located, names) =>
          adaptParameters(located, openWebFiles(adapter, options), names, { tensors, readTensor }),
      }),
      createEngine: () => createWebEngine({ ...options, files }),
      findBroken: () => findNonFiniteTensor(tensors, readTensor),
    },
    options,
  );
};
