/** Stages of a LLaVA-like model: a recipe's patterns, data and folder made into what the loop runs. */
import { isAbsolute, resolve } from "node:path";
import { type DatasetEntry, openDataMix } from "../data/open-dataset.node.js";
import { createReadReport } from "../data/read-report.js";
import { RecipeError } from "../errors.js";
import type { Engine } from "../graph/index.js";
import { imageLayouts, mostViews } from "../systems/image-layouts.js";
import { createImageProcessing } from "../systems/image-processing.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import type { LlavaMiniConfig } from "../systems/llava-mini-config.js";
import { chooseTemplate } from "../text/model-template.js";
import type { ModelFolderOptions } from "../weights/model-folder.node.js";
import {
  type ConversationBatch,
  type ConversationBatches,
  createConversationBatches,
} from "./conversation-batches.js";
import { planGroups, selectNames } from "./parameter-patterns.js";
import type { Recipe, StageRecipe } from "./recipe-schema.js";
import { createPixelLoader } from "./sample-pixels.node.js";
import type { OpenStage } from "./stage.js";
import { createObjective } from "./stage-objective.js";
import type { StageDescription } from "./stage-plan.js";
import { openStartingModel, type StartingModel } from "./starting-model.node.js";
import { accumulationGraph, trainStepGraph, updateGraph } from "./step-graph.js";
import { createVisionLanguageTrainable } from "./vision-language-trainable.js";

export type VisionLanguageStagesOptions = ModelFolderOptions & {
  readonly recipe: Recipe;
  /** Folder that relative paths of the recipe start from. */
  readonly baseFolder: string;
  /** Called once for every record that cannot be used. */
  readonly onBadRecord?: (message: string) => void;
};

export type VisionLanguageStages = {
  readonly model: StartingModel;
  openStage(engine: Engine): OpenStage<ConversationBatch>;
  /** What a stage will compute, for its plan; the data are measured, nothing is computed. */
  describe(stage: StageRecipe): Promise<StageDescription>;
};

const isMini = (config: LlavaConfig): config is LlavaMiniConfig => config.system === "llava-mini";

/** The forward pass that a stage trains: LLaVA-Mini's alignment has no compression yet. */
const configOf = (config: LlavaConfig, { visionTokens }: StageRecipe): LlavaConfig =>
  visionTokens === "all" && isMini(config) ? { ...config, system: "llava" } : config;

/** Tokens of an image in the language model, or the most where images differ. */
const tokensPerImage = (config: LlavaConfig): number =>
  isMini(config)
    ? config.compressorSide ** 2
    : Math.max(...imageLayouts(config).map(({ mostRows }) => mostRows));

const isLocal = (from: string): boolean => isAbsolute(from) || /^\.{1,2}(?:[/\\]|$)/.test(from);

type StageData = { readonly batches: ConversationBatches; close(): Promise<void> };

type DatasetRecipe = StageRecipe["data"]["train"][number];

/** A recipe's dataset with its paths resolved. `recipeSchema` saw to it that it has either files or scenes. */
const datasetEntry = (
  { path, format, scenes, mediaRoot, sampling }: DatasetRecipe,
  baseFolder: string,
): DatasetEntry => {
  if (scenes !== undefined) return { scenes, sampling };
  if (path === undefined || format === undefined)
    throw new RecipeError("openData: a dataset must have path and format, or scenes; add them");
  return {
    path: resolve(baseFolder, path),
    format,
    sampling,
    ...(mediaRoot !== undefined && { mediaRoot: resolve(baseFolder, mediaRoot) }),
  };
};

/** Opens the folder that a recipe starts from. Datasets are opened by each stage. */
export const openVisionLanguageStages = async ({
  recipe,
  baseFolder,
  onBadRecord,
  ...folderOptions
}: VisionLanguageStagesOptions): Promise<VisionLanguageStages> => {
  const { from } = recipe.model;
  const path = isLocal(from) ? resolve(baseFolder, from) : from;
  const model = await openStartingModel(recipe, path, folderOptions);
  const { system, processor, tokenizer } = model;
  const { config: systemConfig } = system;
  if (systemConfig.system === "llava-uhd") {
    throw new RecipeError(
      "openVisionLanguageStages: this model must be of the LLaVA family, got llava-uhd",
    );
  }
  const names = [...model.parameters.keys()];

  const plan = (stage: StageRecipe) => {
    const trained = selectNames(stage.train, names, `stage "${stage.name}"`);
    const { maxGradientNorm, adamW, objective, ranking, gradientCheckpointing } = stage;
    return {
      config: configOf(systemConfig, stage),
      objective: {
        objective,
        ...(ranking && { ranking }),
        trainsEmbeddings: trained.includes("language.embedding"),
      },
      options: {
        groups: planGroups(trained, stage.groups),
        adamW,
        gradientCheckpointing,
        ...(maxGradientNorm !== undefined && { maxGradientNorm }),
      },
    };
  };

  const openData = async (
    stage: StageRecipe,
    config: LlavaConfig,
    part: "train" | "validation",
  ): Promise<StageData> => {
    const { data, batchSize } = stage;
    const sets = data[part];
    if (sets === undefined) {
      throw new RecipeError(
        `openData: stage "${stage.name}" has no ${part} data; add data.${part}`,
      );
    }
    const entries = sets.map((entry) => datasetEntry(entry, baseFolder));
    const reader = await openDataMix(entries, recipe.seed);
    try {
      const { chatTemplate, config: folderConfig } = model.folder;
      const batches = await createConversationBatches({
        reader,
        report: createReadReport({
          numRecords: reader.length,
          maxBadShare: data.maxBadShare,
          onBad: ({ message }) => onBadRecord?.(message),
        }),
        labels: {
          tokenizer,
          template: chooseTemplate({
            template: data.template as Parameters<typeof chooseTemplate>[0]["template"],
            modelType: String(folderConfig.model_type ?? ""),
            chatTemplate,
            tokenizer,
          }),
          maxLength: data.maxLength,
          tooLong: data.tooLong,
          mediaTokens: () => tokensPerImage(config),
        },
        padId: tokenizer.padId ?? tokenizer.eosId ?? 0,
        batchSize,
        seed: recipe.seed,
        buckets: { maxBuckets: data.buckets },
        loadPixels: createPixelLoader(createImageProcessing(config, processor)),
        ...(!isMini(config) && { numViews: mostViews(config) }),
      });
      return { batches, close: () => reader.close() };
    } catch (error) {
      await reader.close();
      throw error;
    }
  };

  const openStage =
    (engine: Engine): OpenStage<ConversationBatch> =>
    async (stage, start) => {
      const { config, objective, options } = plan(stage);
      const opened: { close(): Promise<void> }[] = [];
      const close = async (): Promise<void> => {
        for (const part of opened.reverse()) await part.close();
      };
      try {
        const train = await openData(stage, config, "train");
        opened.push(train);
        const validation = stage.validation && (await openData(stage, config, "validation"));
        if (validation) opened.push(validation);
        const state = new Map(start.tensors);
        for (const name of options.groups.flatMap(({ parameters }) => parameters)) {
          if (!state.has(name)) state.set(name, await model.read(name));
        }
        const trainable = await createVisionLanguageTrainable(engine, config, {
          ...options,
          ...objective,
          state,
          frozen: model.source(start.tensors),
          stepsTaken: start.stepsTaken,
        });
        opened.push(trainable);
        const first = validation?.batches.state();
        return {
          trainable,
          data: train.batches,
          batchesPerEpoch: train.batches.batchesPerEpoch,
          ...(validation &&
            first !== undefined && {
              validation: async function* () {
                validation.batches.restore(first);
                while (true) yield await validation.batches.next();
              },
            }),
          namesOf: ({ sources }) => sources,
          close,
        };
      } catch (error) {
        await close();
        throw error;
      }
    };

  const describe = async (stage: StageRecipe): Promise<StageDescription> => {
    const { config, objective, options } = plan(stage);
    const { batches, close } = await openData(stage, config, "train");
    await close();
    const trained = new Set(options.groups.flatMap(({ parameters }) => parameters));
    const isFed = (name: string): boolean => trained.has(name);
    const { open } = createObjective(config, { isFed, ...objective });
    const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
    const trainedShapes = new Map([...shapes].filter(([name]) => trained.has(name)));
    const batch = stage.batchSize;
    const steps = batches.shapes.map(({ textLength, hasImages }) => {
      const { loss, numPlaces } = open({ batch, textLength, hasImages });
      const kept = hasImages ? {} : { keptShapes: shapes };
      const graph =
        stage.accumulation > 1
          ? accumulationGraph(loss, options, kept).graph
          : trainStepGraph(loss, options, kept);
      return { graph, tokens: numPlaces };
    });
    const frozen = new Set(steps.flatMap(({ graph }) => [...graph.parameters.keys()]));
    return {
      groups: options.groups.map(({ name, parameters }) => ({
        name,
        parameters: parameters.map((parameter) => ({
          name: parameter,
          shape: model.parameters.get(parameter)?.shape.map(Number) ?? [],
        })),
      })),
      steps,
      ...(stage.accumulation > 1 && { update: updateGraph(options, trainedShapes, trained) }),
      batchesPerEpoch: batches.batchesPerEpoch,
      frozenBytes: model.storedBytes(frozen),
    };
  };

  return { model, openStage, describe };
};
