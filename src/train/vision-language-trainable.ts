import type { Engine } from "../graph/index.js";
import { listParameters } from "../nn/parameter-scope.js";
import type { BatchShape, LabelledBatch } from "../systems/labelled-batch.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import {
  createObjectiveTrainable,
  type Objective,
  type ObjectiveTrainableOptions,
} from "./objective-trainable.js";
import { createObjective, type ObjectiveOptions } from "./stage-objective.js";
import type { Trainable } from "./trainable.js";

export type VisionLanguageTrainableOptions = ObjectiveTrainableOptions &
  Omit<ObjectiveOptions, "isFed">;

const shapeOf = ({ ids, pixels }: LabelledBatch): BatchShape => ({
  batch: ids.length,
  textLength: ids[0]?.length ?? 0,
  hasImages: pixels !== undefined,
});

/** What a LLaVA-like system learns from batches of one image each. */
export const llavaObjective = (
  config: LlavaConfig,
  options: ObjectiveOptions,
): Objective<LabelledBatch, BatchShape> => {
  const { open, countUnits } = createObjective(config, options);
  return {
    declared: listParameters(
      createObjective(config, options.adapterOf && { adapterOf: options.adapterOf }).params,
    ),
    open,
    countUnits,
    shapeOf,
    hasImages: (shape) => shape.hasImages,
  };
};

/** A LLaVA-like system in training. */
export const createVisionLanguageTrainable = (
  engine: Engine,
  config: LlavaConfig,
  { trainsEmbeddings, objective, ranking, adapterOf, ...options }: VisionLanguageTrainableOptions,
): Promise<Trainable<LabelledBatch>> => {
  const trained = new Set(options.groups.flatMap(({ parameters }) => parameters));
  const isFed = (name: string): boolean => trained.has(name);
  const learned = llavaObjective(config, {
    isFed,
    adapterOf,
    trainsEmbeddings,
    objective,
    ranking,
  });
  return createObjectiveTrainable(engine, learned, options);
};
