/** From an understood folder to a model that answers: one way, wherever its bytes lie. */
import { ModelConfigError, TokenizerError } from "../errors.js";
import type { Engine, Graph, ParameterSource } from "../graph/index.js";
import { type LocatedTensor, locateParameters } from "../load/parameter-source.js";
import { type ResolvedModel, readTokenizer } from "../load/resolved-model.js";
import { ignoredTensors } from "../systems/system.js";
import type { LlavaTemplateName } from "../text/llava-templates.js";
import { chooseTemplate } from "../text/model-template.js";
import { createRenameTable, type RenameTable } from "../weights/rename.js";
import { createDecoder } from "./decoder.js";
import { explainNonFinite } from "./explained-decoder.js";
import { createMediaPreparation } from "./media.js";
import { createModel, type VisionLanguageModel } from "./model.js";

/** What may be asked of a model when it is loaded, in Node and in browsers. */
export type AssembleOptions = {
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

/** How a model's bytes are reached: all that differs between a disk and a browser. */
export type WeightAccess = {
  /** Every tensor by published name, its file as the engine looks for it. */
  readonly located: ReadonlyMap<string, LocatedTensor>;
  /** Puts an adapter's additions into the parameters; absent where there is no adapter. */
  readonly adapt?: (located: ParameterSource, names: RenameTable) => Promise<ParameterSource>;
  /** Called once, when everything that can be refused without an engine has been. */
  readonly createEngine: () => Engine;
  /** Name of a tensor that holds NaN or infinity; asked only after an answer was not finite. */
  readonly findBroken: () => Promise<string | undefined>;
};

/** Position tables grow with the context; longer ones must be asked for. */
const defaultContextLength = 32_768;
const defaultFeatureCacheBytes = 512 * 1024 * 1024;

/**
 * Tokens of the context that a model made for `longest` gets. Throws `ModelConfigError` where more is
 * asked.
 */
export const parseContextLength = (asked: number | undefined, longest: number): number => {
  if (asked === undefined) return Math.min(longest, defaultContextLength);
  if (!Number.isInteger(asked) || asked < 1 || asked > longest) {
    throw new ModelConfigError(
      `loadModel: contextLength must be within 1..${longest}, which the model was made for, got ${asked}`,
    );
  }
  return asked;
};

/**
 * Joins tokenizer, template, parameters and engine. Throws typed errors for everything that does not
 * fit; the engine is closed then.
 */
export const assembleModel = async (
  { folder, system, processor }: ResolvedModel,
  access: WeightAccess,
  options: AssembleOptions = {},
): Promise<VisionLanguageModel> => {
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
  const ignore = ignoredTensors;
  const located = locateParameters(system.params, access.located, names, { ignore });
  const parameters = (await access.adapt?.(located, names)) ?? located;

  const engine = access.createEngine();
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
    return createModel({
      name: folder.name,
      system,
      processor,
      engine,
      open,
      encoder,
      decoder: explainNonFinite(bare, access.findBroken),
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
