import { ModelConfigError, TokenizerError } from "../errors.js";
import { createNodeEngine, type NodeEngineOptions } from "../graph/engine.node.js";
import type { Graph } from "../graph/index.js";
import { adaptParameters } from "../load/adapted-parameters.node.js";
import { findBrokenTensors } from "../load/broken-weights.node.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import { locateParameters } from "../load/parameter-source.js";
import { readTokenizer, resolveModel } from "../load/resolved-model.js";
import { ignoredTensors, type SystemOptions } from "../systems/system.js";
import type { LlavaTemplateName } from "../text/llava-templates.js";
import { chooseTemplate } from "../text/model-template.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { createDecoder } from "./decoder.js";
import { explainNonFinite } from "./explained-decoder.js";
import { createMediaPreparation } from "./media.js";
import { createModel, type VisionLanguageModel } from "./model.js";

export type LoadModelOptions = ModelFolderOptions &
  NodeEngineOptions &
  SystemOptions & {
    /** Folder of a LoRA adapter in PEFT's layout, whose additions go into the weights. */
    readonly adapter?: string;
    /** Most tokens of a prompt and its answer; at most what the model was made for. */
    readonly contextLength?: number;
    /** Bytes of image features kept for further questions; default 512 MB. */
    readonly featureCacheBytes?: number;
    /** Bytes of earlier prompts' keys and values kept for prompts that begin alike; default 0. */
    readonly prefixCacheBytes?: number;
    /** Chat template by name, or `model` for the folder's own; chosen by architecture when absent. */
    readonly template?: LlavaTemplateName | "model";
    /** Tokens of one prefill step. */
    readonly prefillChunk?: number;
  };

/** Position tables grow with the context; longer ones must be asked for. */
const defaultContextLength = 32_768;
const defaultFeatureCacheBytes = 512 * 1024 * 1024;
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
 * Loads a LLaVA-1.5, LLaVA-NeXT or LLaVA-Mini model from a folder or a hub repository. Weights are
 * mapped, not read. Throws typed errors for everything that does not fit; nothing stays open then.
 */
export const loadModel = async (
  pathOrRepository: string,
  options: LoadModelOptions = {},
): Promise<VisionLanguageModel> => {
  const folder = await openModelFolder(pathOrRepository, options);
  const openTower = (name: string) => openModelFolder(name, options);
  const { system, processor, tensors } = await resolveModel(folder, openTower, options);
  const tokenizer = await readTokenizer(folder);
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
  const contextLength = parseContextLength(options.contextLength, system.config.maxLength);
  const names = createRenameTable(system.names);
  const located = locateParameters(system.params, await locateForEngine(tensors), names, {
    ignore: ignoredTensors,
  });
  const parameters =
    options.adapter === undefined
      ? located
      : await adaptParameters(located, options.adapter, names, tensors);

  const engine = createNodeEngine(options);
  try {
    const open = (graph: Graph) => engine.open(graph, parameters);
    const encoder = system.createEncoder({
      open,
      featureCacheBytes: options.featureCacheBytes ?? defaultFeatureCacheBytes,
      maxPromptTokens: contextLength,
    });
    const bare = await createDecoder(engine, open, system.params.language, system.language, {
      contextLength,
      prefillChunk: options.prefillChunk,
    });
    const decoder = explainNonFinite(bare, async () => {
      const [first] = await findBrokenTensors(tensors, { atMost: 1 });
      return first?.name;
    });
    return createModel({
      name: folder.name,
      system,
      engine,
      encoder,
      decoder,
      media: createMediaPreparation(system.config, processor, encoder),
      tokenizer,
      template,
      prefixCacheBytes: options.prefixCacheBytes,
      close: () => engine.close(),
    });
  } catch (error) {
    await engine.close();
    throw error;
  }
};
