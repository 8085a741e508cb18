import type { RunEvent } from "./run-log.js";

/** 3725 → 1:02:05. */
export const formatDuration = (seconds: number): string => {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(whole % 60)}`
    : `${minutes}:${two(whole % 60)}`;
};

const barWidth = 20;
/** Weight of the newest step in the running mean of step times. */
const newest = 0.1;

/**
 * Makes lines for people out of a run's events: a bar with rate and time left for a step, a plain line
 * for what happens between steps; undefined for what needs no line.
 */
export const createProgressLines = () => {
  let meanMs = 0;
  let meanTokens = 0;
  let numSteps = 0;
  return (event: RunEvent): string | undefined => {
    switch (event.event) {
      case "stage":
        numSteps = 0;
        return `stage ${event.stageIndex + 1}/${event.numStages} ${event.stage}: ${event.parameters.toLocaleString("en-US")} parameters, ${event.stageSteps} steps${event.stageStep > 0 ? `, from step ${event.stageStep}` : ""}`;
      case "step": {
        const { stageStep, stageSteps, stepMs, tokens } = event;
        numSteps += 1;
        // The first step of a stage makes its graph ready; it says nothing about the others.
        const weight = numSteps <= 2 ? 1 : newest;
        meanMs += weight * (stepMs - meanMs);
        meanTokens += weight * (tokens - meanTokens);
        const filled = Math.round((barWidth * stageStep) / stageSteps);
        const bar = "#".repeat(filled) + "-".repeat(barWidth - filled);
        const rate =
          meanMs > 1000
            ? `${(meanMs / 1000).toFixed(2)} s/step`
            : `${(1000 / meanMs).toFixed(1)} steps/s`;
        const left = formatDuration(((stageSteps - stageStep) * meanMs) / 1000);
        const perSecond = Math.round((1000 * meanTokens) / meanMs).toLocaleString("en-US");
        return `${event.stage} [${bar}] ${stageStep}/${stageSteps}  loss ${event.loss.toFixed(4)}  ${rate}  ${perSecond} tokens/s  ${left} left`;
      }
      case "validation":
        return `step ${event.step}: validation loss ${event.loss.toFixed(4)} over ${event.tokens.toLocaleString("en-US")} tokens`;
      case "resume":
        return event.step > 0
          ? `going on after step ${event.step}`
          : "no checkpoint yet: from the start";
      case "stop":
        return `stopped after step ${event.step}`;
      default:
        return undefined;
    }
  };
};
