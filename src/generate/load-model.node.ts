import { ModelConfigError, TokenizerError } from "../errors.js";
import { createNodeEngine, type NodeEngineOptions } from "../graph/engine.node.js";
import type { Graph } from "../graph/index.js";
import { clipConfig, parseClipConfig } from "../image/clip-config.js";
import { findBrokenWeight } from "../load/broken-weight.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import { locateParameters } from "../load/parameter-source.js";
import { ignoredTensors, parseSystem, type SystemOptions } from "../systems/system.js";
import type { LlavaTemplateName } from "../text/llava-templates.js";
import { chooseTemplate } from "../text/model-template.js";
import { createTokenizer } from "../text/tokenizer.js";
import {
  type ModelFolder,
  type ModelFolderOptions,
  openModelFolder,
} from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { createDecoder } from "./decoder.js";
import { explainNonFinite } from "./explained-decoder.js";
import { createMediaPreparation } from "./media.js";
import { createModel, type VisionLanguageModel } from "./model.js";

export type LoadModelOptions = ModelFolderOptions &
  NodeEngineOptions &
  SystemOptions & {
    /** Most tokens of a prompt and its answer; at most what the model was made for. */
    readonly contextLength?: number;
    /** Bytes of image features kept for further questions; default 512 MB. */
    readonly featureCacheBytes?: number;
    /** Chat template by name, or `model` for the folder's own; chosen by architecture when absent. */
    readonly template?: LlavaTemplateName | "model";
    /** Tokens of one prefill step. */
    readonly prefillChunk?: number;
  };

/** Position tables grow with the context; longer ones must be asked for. */
const defaultContextLength = 32_768;
const defaultFeatureCacheBytes = 512 * 1024 * 1024;
/** How the original layout names the tower's tensors inside a LLaVA checkpoint. */
const towerPrefix = "model.vision_tower.vision_tower.";

const parseContextLength = (asked: number | undefined, longest: number): number => {
  if (asked === undefined) return Math.min(longest, defaultContextLength);
  if (!Number.isInteger(asked) || asked < 1 || asked > longest) {
    throw new ModelConfigError(
      `loadModel: contextLength must be within 1..${longest}, which the model was made for, got ${asked}`,
    );
  }
  return asked;
};

/**
 * The vision tower's own folder where the model has one: `vision_tower/` inside it, or the hub
 * repository that `mm_vision_tower` names when the checkpoint lacks the tower's weights.
 */
const openTower = async (
  folder: ModelFolder,
  options: ModelFolderOptions,
): Promise<ModelFolder | undefined> => {
  const inside = await folder.subfolder("vision_tower");
  if (inside !== undefined) return inside;
  const holdsTower = [...folder.tensors.keys()].some((name) => /vision_(tower|model)\./.test(name));
  const name = folder.config.mm_vision_tower;
  if (holdsTower || typeof name !== "string") return undefined;
  return openModelFolder(name, options);
};

/** The model's tensors, with the tower's from its own folder where the checkpoint has none. */
const gatherTensors = async (folder: ModelFolder, tower: ModelFolder | undefined) => {
  const found = await locateForEngine(folder.tensors);
  if (tower === undefined || [...found.keys()].some((name) => name.startsWith(towerPrefix))) {
    return found;
  }
  for (const [name, tensor] of await locateForEngine(tower.tensors)) {
    if (name.startsWith("vision_model.")) found.set(towerPrefix + name, tensor);
  }
  return found;
};

/**
 * Loads a LLaVA-1.5, LLaVA-NeXT or LLaVA-Mini model from a folder or a hub repository. Weights are
 * mapped, not read. Throws typed errors for everything that does not fit; nothing stays open then.
 */
export const loadModel = async (
  pathOrRepository: string,
  options: LoadModelOptions = {},
): Promise<VisionLanguageModel> => {
  const folder = await openModelFolder(pathOrRepository, options);
  const tower = await openTower(folder, options);
  const system = parseSystem(folder.config, tower?.config, options);
  const tokenizer = createTokenizer({
    tokenizerJson: await folder.readTokenizerJson(),
    tokenizerConfig: folder.tokenizerConfig,
    specialTokensMap: folder.specialTokensMap,
    generationConfig: folder.generationConfig,
  });
  if (tokenizer.vocabularySize > system.language.vocabularySize) {
    throw new TokenizerError(
      `loadModel: the tokenizer has ${tokenizer.vocabularySize} tokens and the model ${system.language.vocabularySize}; one of them belongs to another model`,
    );
  }
  const template = chooseTemplate({
    template: options.template,
    modelType: String(folder.config.model_type ?? ""),
    chatTemplate: folder.chatTemplate,
    tokenizer,
  });
  const processorJson = folder.preprocessorConfig ?? tower?.preprocessorConfig;
  const processor =
    processorJson === undefined
      ? clipConfig(system.config.vision.imageSizePx)
      : parseClipConfig(processorJson);
  const contextLength = parseContextLength(options.contextLength, system.config.maxLength);
  const parameters = locateParameters(
    system.params,
    await gatherTensors(folder, tower),
    createRenameTable(system.names),
    { ignore: ignoredTensors },
  );

  const engine = createNodeEngine(options);
  try {
    const open = (graph: Graph) => engine.open(graph, parameters);
    const encoder = system.createEncoder({
      engine,
      open,
      featureCacheBytes: options.featureCacheBytes ?? defaultFeatureCacheBytes,
      maxPromptTokens: contextLength,
    });
    const bare = await createDecoder(engine, open, system.params.language, system.language, {
      contextLength,
      prefillChunk: options.prefillChunk,
    });
    const decoder = explainNonFinite(bare, () =>
      findBrokenWeight(tower === undefined ? [folder] : [folder, tower]),
    );
    return createModel({
      name: folder.name,
      system,
      engine,
      encoder,
      decoder,
      media: createMediaPreparation(system.config, processor, encoder),
      tokenizer,
      template,
      close: () => engine.close(),
    });
  } catch (error) {
    await engine.close();
    throw error;
  }
};
