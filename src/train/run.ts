/**
 * A training run: its stages one after another, with a log and checkpoints. Everything that decides
 * the next step (parameters, moments, step numbers, the place in the data) is in the checkpoint, so
 * that a run goes on exactly as if it had never stopped.
 */
import { CheckpointError } from "../errors.js";
import type { CheckpointStore, LoopState } from "./checkpoint.js";
import { findDifferences, type Recipe, recipeIdentity } from "./recipe.js";
import type { RunEvent, RunEventBody, RunLog } from "./run-log.js";
import { type OpenStage, planSteps } from "./stage.js";
import { runStage, type StageProgress, trainedNames } from "./stage-loop.js";
import type { JsonValue, LoopTensors } from "./trainable.js";

export type RunOptions<Batch> = {
  readonly recipe: Recipe;
  readonly openStage: OpenStage<Batch>;
  readonly log: RunLog;
  readonly checkpoints: CheckpointStore;
  /** Whether to go on from the newest complete checkpoint, or from the start where there is none. */
  readonly resume?: boolean;
  /** Ends the run after the step at work, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Called with everything that is logged, after it was. */
  readonly onEvent?: (event: RunEvent) => void;
  /** Called with what a person should know: checkpoints that were passed over. */
  readonly onNotice?: (text: string) => void;
};

export type RunResult = {
  /** Whether all stages are done; false after an interrupt. */
  readonly isFinished: boolean;
  /** Optimiser steps of the whole run. */
  readonly step: number;
  /** Parameters that training has changed, by name. */
  readonly parameters: LoopTensors;
};

const checkRecipe = (saved: LoopState, identity: JsonValue): void => {
  const different = findDifferences(saved.recipe, identity);
  if (different.length === 0) return;
  throw new CheckpointError(
    `trainRun: a run goes on with the recipe that it was started with, got other values of ${different.join(", ")}; restore them or begin a new run in another folder`,
  );
};

/**
 * Trains as the recipe says. Throws `NonFiniteError` at a loss or gradient that is NaN or infinite,
 * `CheckpointError` when resumed with another recipe, and what stages, data and engine throw; the last
 * checkpoint is then what it was.
 */
export const trainRun = async <Batch>(options: RunOptions<Batch>): Promise<RunResult> => {
  const { recipe, openStage, log, checkpoints, signal, onEvent, onNotice } = options;
  const identity = recipeIdentity(recipe);
  const record = async (body: RunEventBody): Promise<void> => {
    const event: RunEvent = { time: new Date().toISOString(), ...body };
    await log.write(event);
    onEvent?.(event);
  };

  const found = options.resume ? await checkpoints.newest() : undefined;
  for (const reason of found?.passedOver ?? []) onNotice?.(`checkpoint passed over: ${reason}`);
  const saved = found?.checkpoint;
  if (saved !== undefined) checkRecipe(saved.state, identity);
  let step = saved?.state.step ?? 0;
  let tensors: LoopTensors = saved?.tensors ?? new Map();
  await record({ event: options.resume ? "resume" : "start", recipe: recipe.name, step });

  const first = saved?.state.stageIndex ?? 0;
  for (const [stageIndex, stage] of recipe.stages.entries()) {
    if (stageIndex < first) continue;
    const going = saved?.state.stageIndex === stageIndex ? saved.state : undefined;
    const stageStep = going?.stageStep ?? 0;
    const before = tensors;
    const opened = await openStage(stage, { tensors, stepsTaken: stageStep });
    try {
      const { trainable, data } = opened;
      if (going !== undefined) data.restore(going.data);
      const save = async (progress: StageProgress): Promise<void> => {
        const gathered = new Map([...before, ...(await trainable.state())]);
        // A line of a step that the checkpoint holds must not be lost when the checkpoint is not.
        await log.flush();
        const state = { ...progress, stageIndex, stage: stage.name, recipe: identity };
        await checkpoints.save({ state, tensors: gathered }, stage.checkpoint.keep);
      };
      const numStages = recipe.stages.length;
      const ended = await runStage({
        stage,
        stageIndex,
        numStages,
        opened,
        start: { step, stageStep },
        record,
        save,
        ...(signal && { signal }),
      });
      step = ended.step;
      // Moments end with their stage; the parameters of earlier stages are carried along.
      const state = await trainable.state();
      const own = new Set(trainedNames(trainable.groups));
      tensors = new Map([
        ...[...before].filter(([name]) => !state.has(name)),
        ...[...state].filter(([name]) => own.has(name)),
      ]);
      const isLast = stageIndex === numStages - 1;
      const isDone = ended.stageStep >= planSteps(stage, opened.batchesPerEpoch);
      if (!isDone || (signal?.aborted && !isLast)) {
        await record({ event: "stop", step });
        await log.flush();
        return { isFinished: false, step, parameters: tensors };
      }
    } finally {
      await opened.close();
    }
  }
  await record({ event: "end", step });
  await log.flush();
  return { isFinished: true, step, parameters: tensors };
};
