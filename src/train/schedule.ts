/**
 * Learning rates over the steps of a stage, as factors of each group's own rate. Definitions of
 * Hugging Face's `get_*_schedule_with_warmup` (transformers/optimization.py), which the published
 * recipes ran with: step 0 of a warm-up has the rate 0, and a warm-up ratio is rounded up to steps.
 */
import { OptionsError } from "../errors.js";

export const scheduleKinds = ["constant", "linear", "cosine"] as const;

export type Schedule = {
  readonly kind: (typeof scheduleKinds)[number];
  /** Steps over which the rate rises from 0; or, of all steps, the share. One of the two. */
  readonly warmupSteps?: number;
  readonly warmupRatio?: number;
  /** The factor that linear and cosine schedules fall to; 0 when absent. */
  readonly minRatio?: number;
};

const isRatio = (value: number): boolean => value >= 0 && value <= 1;

/** Steps of warm-up within `totalSteps`. Throws `OptionsError` for values outside their range. */
export const planWarmup = (
  { warmupSteps, warmupRatio }: Pick<Schedule, "warmupSteps" | "warmupRatio">,
  totalSteps: number,
): number => {
  if (warmupSteps !== undefined && warmupRatio !== undefined) {
    throw new OptionsError(
      `planWarmup: give warmupSteps or warmupRatio, got both (${warmupSteps} and ${warmupRatio}); leave one out`,
    );
  }
  if (warmupRatio !== undefined) {
    if (!isRatio(warmupRatio)) {
      throw new OptionsError(`planWarmup: warmupRatio must be within 0..1, got ${warmupRatio}`);
    }
    return Math.ceil(warmupRatio * totalSteps);
  }
  const steps = warmupSteps ?? 0;
  if (!Number.isInteger(steps) || steps < 0 || steps > totalSteps) {
    throw new OptionsError(
      `planWarmup: warmupSteps must be whole and within 0..${totalSteps}, the steps of the stage, got ${steps}`,
    );
  }
  return steps;
};

/**
 * Factor of the learning rate at `step`, counted from 0, of `totalSteps`; always within 0..1. Throws
 * `OptionsError` for a step outside the stage and for schedules that contradict themselves.
 */
export const scheduleFactor = (schedule: Schedule, step: number, totalSteps: number): number => {
  const { kind, minRatio = 0 } = schedule;
  if (!Number.isInteger(step) || step < 0 || step >= totalSteps) {
    throw new OptionsError(
      `scheduleFactor: the step must be whole and within 0..${totalSteps - 1}, got ${step}`,
    );
  }
  if (!isRatio(minRatio)) {
    throw new OptionsError(`scheduleFactor: minRatio must be within 0..1, got ${minRatio}`);
  }
  const warmup = planWarmup(schedule, totalSteps);
  if (step < warmup) return step / warmup;
  if (kind === "constant") return 1;
  const progress = (step - warmup) / Math.max(1, totalSteps - warmup);
  const fallen = kind === "linear" ? 1 - progress : 0.5 * (1 + Math.cos(Math.PI * progress));
  return minRatio + (1 - minRatio) * fallen;
};
