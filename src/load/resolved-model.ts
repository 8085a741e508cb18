import { clipConfig, parseClipConfig } from "../image/clip-config.js";
import { parseSliceConfig, type SliceSettings } from "../image/slice-config.js";
import type { ImageProcessorConfig } from "../systems/image-processing.js";
import { parseSystem, type System, type SystemOptions } from "../systems/system.js";
import { createTokenizer, type Tokenizer } from "../text/tokenizer.js";
import type { StoredTensor } from "../weights/folder-files.js";
import type { ModelFolder } from "../weights/model-folder.js";

/** A folder understood: its system, its image processor and all its tensors. Nothing is computed. */
export type ResolvedModel = {
  readonly folder: ModelFolder;
  /** The vision tower's own folder, where there is one. */
  readonly tower?: ModelFolder;
  readonly system: System;
  readonly processor: ImageProcessorConfig;
  /** By published name, the tower's included. */
  readonly tensors: ReadonlyMap<string, StoredTensor>;
};

/** How the original layout names the tower's tensors inside a LLaVA checkpoint. */
const towerPrefix = "model.vision_tower.vision_tower.";
const isTowerTensor = /vision_(tower|model)\./;

/**
 * Resolves a model folder. A tower of its own is `vision_tower/` inside it, or, when the checkpoint
 * lacks the tower's weights, the model that `mm_vision_tower` names, which `openTower` opens. Throws
 * `UnknownArchitectureError` and `ModelConfigError`.
 */
export const resolveModel = async (
  folder: ModelFolder,
  openTower: (name: string) => Promise<ModelFolder>,
  options: SystemOptions = {},
): Promise<ResolvedModel> => {
  const holdsTower = [...folder.tensors.keys()].some((name) => isTowerTensor.test(name));
  const { mm_vision_tower: towerName } = folder.config;
  const inside = await folder.subfolder("vision_tower");
  const tower =
    inside ??
    (holdsTower || typeof towerName !== "string" ? undefined : await openTower(towerName));
  const tensors = new Map(folder.tensors);
  if (!holdsTower) {
    for (const [name, stored] of tower?.tensors ?? []) {
      if (name.startsWith("vision_model.")) tensors.set(towerPrefix + name, stored);
    }
  }
  const system = parseSystem(folder.config, tower?.config, options);
  const processor = chooseProcessor(system, {
    config: folder.config,
    preprocessorConfig: folder.preprocessorConfig ?? tower?.preprocessorConfig,
    processorConfig: folder.processorConfig,
  });
  return { folder, tower, system, processor, tensors };
};

/** The image processor that settings files describe, or what the model's own config implies. */
export const chooseProcessor = (
  { config: system }: System,
  { config, preprocessorConfig, processorConfig }: SliceSettings,
): ImageProcessorConfig => {
  if (system.system === "llava-uhd") {
    // How many queries there are, the weights decide.
    const { numQueries, queryUnit } = system.slicing;
    const { numQueries: _, ...rest } = parseSliceConfig({
      ...(preprocessorConfig !== undefined && { preprocessorConfig }),
      ...(processorConfig !== undefined && { processorConfig }),
      config,
    });
    return { ...rest, ...(numQueries !== undefined && { numQueries, queryUnit }) };
  }
  return preprocessorConfig === undefined
    ? clipConfig(system.vision.imageSizePx)
    : parseClipConfig(preprocessorConfig);
};

/** The folder's tokenizer. Throws `TokenizerError` where there is none or it is broken. */
export const readTokenizer = async (folder: ModelFolder): Promise<Tokenizer> => {
  const { tokenizerConfig, specialTokensMap, generationConfig } = folder;
  const tokenizerJson = await folder.readTokenizerJson();
  return createTokenizer({ tokenizerJson, tokenizerConfig, specialTokensMap, generationConfig });
};
