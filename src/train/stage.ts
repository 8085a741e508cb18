/** A stage made ready to run, and how long it is. */
import { RecipeError } from "../errors.js";
import type { StageRecipe } from "./recipe-schema.js";
import type { BatchSource, LoopTensors, Trainable } from "./trainable.js";

/** Where a stage begins: after the stages before it, or after some of its own steps. */
export type StageStart = {
  /**
   * Parameters that training has changed so far, whether this stage trains them or not, and, where
   * the stage goes on, its optimiser's moments. Everything else is as the model's folder has it.
   */
  readonly tensors: LoopTensors;
  /** Steps that the stage's optimiser has taken. */
  readonly stepsTaken: number;
};

export type OpenedStage<Batch> = {
  readonly trainable: Trainable<Batch>;
  readonly data: BatchSource<Batch>;
  /** Batches in one pass over the data; needed for stages that are measured in epochs. */
  readonly batchesPerEpoch?: number;
  /** The same batches whenever it is called. */
  readonly validation?: () => AsyncIterable<Batch>;
  /** Says which samples a batch holds, for messages. */
  namesOf(batch: Batch): readonly string[];
  /** Closes what the stage opened, the trainable included. */
  close(): Promise<void>;
};

/** Makes a stage of a recipe ready. */
export type OpenStage<Batch> = (
  stage: StageRecipe,
  start: StageStart,
) => Promise<OpenedStage<Batch>>;

/** Optimiser steps of a stage. Throws `RecipeError` where epochs have no length. */
export const planSteps = (
  { name, steps, epochs, accumulation }: StageRecipe,
  batchesPerEpoch: number | undefined,
): number => {
  if (steps !== undefined) return steps;
  if (batchesPerEpoch === undefined || batchesPerEpoch < 1) {
    throw new RecipeError(
      `planSteps: epochs need data of a known length, got ${batchesPerEpoch ?? "an endless row"} in stage "${name}"; give steps`,
    );
  }
  return Math.max(1, Math.ceil(((epochs ?? 1) * batchesPerEpoch) / accumulation));
};
