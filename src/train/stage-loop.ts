/** The steps of one stage: rates, accumulation, validation, checkpoints, and where it must stop. */
import { NonFiniteError, OptionsError } from "../errors.js";
import { createFeeder } from "./batch-feeder.js";
import type { StageRecipe } from "./recipe-schema.js";
import type { RunEventBody } from "./run-log.js";
import { scheduleFactor } from "./schedule.js";
import { type OpenedStage, planSteps } from "./stage.js";
import type { JsonValue, LoopTensors, StepResult, Trainable } from "./trainable.js";

/** Where a stage stands between two steps. */
export type StageProgress = {
  /** Optimiser steps of the whole run, and of this stage. */
  readonly step: number;
  readonly stageStep: number;
  readonly data: JsonValue;
};

export type StageContext<Batch> = {
  readonly stage: StageRecipe;
  readonly stageIndex: number;
  readonly numStages: number;
  readonly opened: OpenedStage<Batch>;
  readonly start: { readonly step: number; readonly stageStep: number };
  readonly record: (event: RunEventBody) => Promise<void>;
  readonly save: (progress: StageProgress) => Promise<void>;
  readonly signal?: AbortSignal;
};

type Loss = Pick<StepResult, "loss" | "tokens">;
type Groups = Trainable<never>["groups"];

/** Names of the parameters that train, in the order of the groups. */
export const trainedNames = (groups: Groups): string[] =>
  groups.flatMap(({ parameters }) => parameters.map(({ name }) => name));

const findNonFinite = (groups: Groups, tensors: LoopTensors): string | undefined =>
  trainedNames(groups).find((name) =>
    tensors.get(name)?.data.some((value) => !Number.isFinite(value)),
  );

/** Mean over all tokens of several batches. A batch without a supervised token has no weight. */
const meanLoss = (parts: readonly Loss[]): Loss => {
  if (parts.length === 1) return parts[0];
  const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
  const weighted = parts.map((part) => (part.tokens === 0 ? 0 : part.loss * part.tokens));
  return { loss: weighted.reduce((sum, part) => sum + part, 0) / Math.max(1, tokens), tokens };
};

const countParameters = (groups: Groups): number =>
  groups
    .flatMap(({ parameters }) => parameters)
    .reduce((sum, { shape }) => sum + shape.reduce((count, side) => count * side, 1), 0);

/** Throws `OptionsError` for what the recipe asks of a stage that cannot give it. */
const checkStage = <Batch>(stage: StageRecipe, opened: OpenedStage<Batch>): void => {
  if (stage.accumulation > 1 && opened.trainable.accumulate === undefined) {
    throw new OptionsError(
      `runStage: "${stage.name}" accumulates ${stage.accumulation} batches, which this model's step does not offer; set accumulation to 1`,
    );
  }
  if (stage.validation !== undefined && opened.validation === undefined) {
    throw new OptionsError(
      `runStage: "${stage.name}" validates, but no validation data was opened; give data.validation`,
    );
  }
};

/**
 * Runs a stage from where it stands to its end, or to the step at which `signal` was aborted. The last
 * step is always saved. Throws `NonFiniteError` naming step, samples and the first bad parameter.
 */
export const runStage = async <Batch>(context: StageContext<Batch>): Promise<StageProgress> => {
  const { stage, opened, record, signal } = context;
  const { trainable } = opened;
  checkStage(stage, opened);
  const stageSteps = planSteps(stage, opened.batchesPerEpoch);
  let { step, stageStep } = context.start;
  let data = opened.data.state();
  let savedStep = stageStep;

  const save = async (): Promise<void> => {
    const startedMs = performance.now();
    await context.save({ step, stageStep, data });
    savedStep = stageStep;
    await record({ event: "checkpoint", saveMs: performance.now() - startedMs, step });
  };

  const stopAt = async (
    { loss, gradientNorm }: { readonly loss: number; readonly gradientNorm?: number },
    badStep: number,
    batch: string[],
  ): Promise<never> => {
    const parameter = findNonFinite(trainable.groups, await trainable.state());
    const norm = gradientNorm === undefined ? "" : ` and gradient norm ${gradientNorm}`;
    await record({
      event: "non-finite",
      loss: String(loss),
      ...(gradientNorm !== undefined && { gradientNorm: String(gradientNorm) }),
      batch,
      parameter: parameter ?? null,
      step: badStep,
    });
    throw new NonFiniteError(
      `runStage: loss and gradients must be finite, got loss ${loss}${norm} at step ${badStep} (stage "${stage.name}") on ${batch.join(", ")}; ` +
        `${parameter === undefined ? "all parameters are finite" : `the first parameter that is not is "${parameter}"`}. Lower the learning rate, clip gradients or look at these samples, then begin again from the last checkpoint.`,
    );
  };

  const validate = async (): Promise<void> => {
    if (stage.validation === undefined || opened.validation === undefined) return;
    const { everySteps, batches } = stage.validation;
    if (stageStep % everySteps !== 0 && stageStep !== stageSteps) return;
    const parts: Loss[] = [];
    for await (const batch of opened.validation()) {
      const part = await trainable.evaluate(batch);
      if (!Number.isFinite(part.loss)) {
        await stopAt(part, step, [...opened.namesOf(batch)]);
      }
      parts.push(part);
      if (parts.length === batches) break;
    }
    await record({ event: "validation", stage: stage.name, ...meanLoss(parts), step });
  };

  await record({
    event: "stage",
    stage: stage.name,
    stageIndex: context.stageIndex,
    numStages: context.numStages,
    stageSteps,
    stageStep,
    parameters: countParameters(trainable.groups),
    step,
  });
  const nextBatch = createFeeder(opened.data, (stageSteps - stageStep) * stage.accumulation);
  while (stageStep < stageSteps && !signal?.aborted) {
    const startedMs = performance.now();
    const factor = scheduleFactor(stage.schedule, stageStep, stageSteps);
    const rates = Object.fromEntries(
      stage.groups.map(({ name, learningRate }) => [name, factor * learningRate]),
    );
    const names: string[] = [];
    const parts: Loss[] = [];
    let [dataMs, gradientNorm] = [0, 0];
    while (parts.length < stage.accumulation) {
      const askedMs = performance.now();
      const fed = await nextBatch();
      dataMs += performance.now() - askedMs;
      data = fed.place;
      names.push(...opened.namesOf(fed.batch));
      if (trainable.accumulate !== undefined && parts.length < stage.accumulation - 1) {
        parts.push(await trainable.accumulate(fed.batch));
      } else {
        const result = await trainable.step(fed.batch, rates);
        gradientNorm = result.gradientNorm;
        parts.push(result);
      }
    }
    const { loss, tokens } = meanLoss(parts);
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      await stopAt({ loss, gradientNorm }, step + 1, names);
    }
    step += 1;
    stageStep += 1;
    const stepMs = performance.now() - startedMs;
    await record({
      event: "step",
      stage: stage.name,
      stageStep,
      stageSteps,
      loss,
      gradientNorm,
      rates,
      tokens,
      stepMs,
      dataMs,
      step,
    });
    await validate();
    if (stageStep % stage.checkpoint.everySteps === 0) await save();
  }
  if (savedStep < stageStep) await save();
  return { step, stageStep, data };
};
