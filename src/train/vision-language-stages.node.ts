/** Stages of a vision-language model: a recipe's patterns, data and folder made into what the loop runs. */
import { isAbsolute, resolve } from "node:path";
import { type DatasetEntry, openDataMix } from "../data/open-dataset.node.js";
import { createReadReport } from "../data/read-report.js";
import { RecipeError } from "../errors.js";
import type { Engine } from "../graph/index.js";
import { chooseTemplate } from "../text/model-template.js";
import type { ModelFolderOptions } from "../weights/model-folder.node.js";
import { llavaStageFamily } from "./llava-stages.node.js";
import { createObjectiveTrainable } from "./objective-trainable.js";
import { planGroups, selectNames } from "./parameter-patterns.js";
import type { Recipe, StageRecipe } from "./recipe-schema.js";
import type { OpenStage } from "./stage.js";
import type { SourcedBatch, StageFamily } from "./stage-family.js";
import type { StageDescription } from "./stage-plan.js";
import { openStartingModel, type StartingModel } from "./starting-model.node.js";
import { accumulationGraph, trainStepGraph, updateGraph } from "./step-graph.js";
import { uhdStageFamily } from "./uhd-stages.node.js";

export type VisionLanguageStagesOptions = ModelFolderOptions & {
  readonly recipe: Recipe;
  /** Folder that relative paths of the recipe start from. */
  readonly baseFolder: string;
  /** Called once for every record that cannot be used. */
  readonly onBadRecord?: (message: string) => void;
};

export type VisionLanguageStages = {
  readonly model: StartingModel;
  openStage(engine: Engine): OpenStage<SourcedBatch>;
  /** What a stage will compute, for its plan; the data are measured, nothing is computed. */
  describe(stage: StageRecipe): Promise<StageDescription>;
};

const isLocal = (from: string): boolean => isAbsolute(from) || /^\.{1,2}(?:[/\\]|$)/.test(from);

type DatasetRecipe = StageRecipe["data"]["train"][number];

/** A recipe's dataset with its paths resolved. `recipeSchema` saw to it that it has either files or scenes. */
const datasetEntry = (
  { path, format, scenes, mediaRoot, sampling, template }: DatasetRecipe,
  baseFolder: string,
): DatasetEntry => {
  const common = { sampling, ...(template !== undefined && { template }) };
  if (scenes !== undefined) return { ...common, scenes };
  if (path === undefined || format === undefined)
    throw new RecipeError("openData: a dataset must have path and format, or scenes; add them");
  return {
    ...common,
    path: resolve(baseFolder, path),
    format,
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
  const place = (from: string): string => (isLocal(from) ? resolve(baseFolder, from) : from);
  const initialise = recipe.model.initialise.map((entry) => ({
    ...entry,
    ...(entry.from !== undefined && { from: place(entry.from) }),
  }));
  const model = await openStartingModel(
    { ...recipe, model: { ...recipe.model, initialise } },
    place(recipe.model.from),
    folderOptions,
  );
  const context = { recipe, baseFolder, onBadRecord, model };
  const { config } = model.system;
  return config.system === "llava-uhd"
    ? createStages(context, uhdStageFamily(config, model))
    : createStages(context, llavaStageFamily(config, model));
};

type StagesContext = Pick<VisionLanguageStagesOptions, "recipe" | "baseFolder" | "onBadRecord"> & {
  readonly model: StartingModel;
};

const createStages = <Batch extends SourcedBatch, Shape>(
  { recipe, baseFolder, onBadRecord, model }: StagesContext,
  family: StageFamily<Batch, Shape>,
) => {
  const { tokenizer } = model;
  const names = [...model.parameters.keys()];

  const plan = (stage: StageRecipe) => {
    const trained = selectNames(stage.train, names, `stage "${stage.name}"`);
    const { maxGradientNorm, adamW, gradientCheckpointing } = stage;
    const groups = planGroups(trained, stage.groups);
    return {
      objective: family.createObjective(stage, new Set(trained)),
      options: {
        groups,
        adamW,
        gradientCheckpointing,
        ...(maxGradientNorm !== undefined && { maxGradientNorm }),
      },
    };
  };

  const openData = async (stage: StageRecipe, part: "train" | "validation") => {
    const { data } = stage;
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
      const batches = await family.createBatches({
        stage,
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
        },
        seed: recipe.seed,
      });
      return { batches, close: () => reader.close() };
    } catch (error) {
      await reader.close();
      throw error;
    }
  };

  const openStage =
    (engine: Engine): OpenStage<Batch> =>
    async (stage, start) => {
      const { objective, options } = plan(stage);
      const opened: { close(): Promise<void> }[] = [];
      const close = async (): Promise<void> => {
        for (const part of opened.reverse()) await part.close();
      };
      try {
        const train = await openData(stage, "train");
        opened.push(train);
        const validation = stage.validation && (await openData(stage, "validation"));
        if (validation) opened.push(validation);
        const state = new Map(start.tensors);
        for (const name of options.groups.flatMap(({ parameters }) => parameters)) {
          if (!state.has(name)) state.set(name, await model.read(name));
        }
        const trainable = await createObjectiveTrainable(engine, objective, {
          ...options,
          state,
          frozen: model.source(start.tensors),
          stepsTaken: start.stepsTaken,
        });
        opened.push(trainable);
        const first = validation?.batches.state();
        const { batchesPerEpoch } = train.batches;
        return {
          trainable,
          data: train.batches,
          ...(batchesPerEpoch !== undefined && { batchesPerEpoch }),
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
    const { objective, options } = plan(stage);
    const { batches, close } = await openData(stage, "train");
    await close();
    const trained = new Set(options.groups.flatMap(({ parameters }) => parameters));
    const shapes = new Map([...model.parameters].map(([name, { shape }]) => [name, shape]));
    const trainedShapes = new Map([...shapes].filter(([name]) => trained.has(name)));
    const steps = batches.planned.map(({ shape, bindings }) => {
      const { loss, numPlaces } = objective.open(shape);
      const kept = objective.hasImages(shape) ? {} : { keptShapes: shapes };
      const graph =
        stage.accumulation > 1
          ? accumulationGraph(loss, options, kept).graph
          : trainStepGraph(loss, options, kept);
      return { graph, bindings, tokens: numPlaces };
    });
    const frozen = new Set(steps.flatMap(({ graph }) => [...graph.parameters.keys()]));
    const { batchesPerEpoch } = batches;
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
      ...(batchesPerEpoch !== undefined && { batchesPerEpoch }),
      frozenBytes: model.storedBytes(frozen),
    };
  };

  return { model, openStage, describe };
};
