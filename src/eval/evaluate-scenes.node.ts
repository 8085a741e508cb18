/** How many questions about Scenes a model answers right, and what that takes. */
import { createSceneRenderer, type Fineness, sceneId } from "../data/scenes/index.node.js";
import type { GenerateOptions } from "../generate/answer.js";
import type { Media } from "../generate/media.js";
import type { VisionLanguageModel } from "../generate/model.js";
import { visionFactsOf } from "../systems/vision-facts.js";
import { createFramesSource } from "../video/frames-source.js";
import { type Proportion, proportion } from "./proportion.js";
import {
  type SceneQuestion,
  type SceneQuestionOptions,
  sampleSceneQuestions,
} from "./scene-questions.js";

/** One question and what the model said. */
export type SceneOutcome = {
  readonly scene: string;
  readonly family: string;
  readonly fineness: Fineness;
  readonly question: string;
  readonly expected: string;
  readonly answer: string;
  readonly isRight: boolean;
  /** Tokens that the decoder read for the image or clip. */
  readonly visionTokens: number;
  readonly promptTokens: number;
  /** Tokens of a view that were chosen, where the model has granularities. */
  readonly granularity?: number;
  /** From the request to the first token, and to the end. */
  readonly firstTokenMs: number;
  readonly totalMs: number;
};

export type FamilyEvaluation = Proportion & {
  readonly fineness: Fineness;
  /** How often each granularity was chosen; absent for models that have none. */
  readonly granularities?: Readonly<Record<string, number>>;
};

export type SceneEvaluation = {
  readonly total: Proportion;
  readonly byFineness: Readonly<Record<string, Proportion>>;
  readonly byFamily: Readonly<Record<string, FamilyEvaluation>>;
  /** Means over all questions. */
  readonly visionTokens: number;
  readonly promptTokens: number;
  readonly firstTokenMs: number;
  readonly totalMs: number;
};

export type EvaluateScenesOptions = SceneQuestionOptions & {
  /** Height of the images in pixels; default: the side of what the vision tower reads. */
  readonly heightPx?: number;
  /** How answers are made; default: the likeliest token each time, at most 16. */
  readonly generate?: GenerateOptions;
  readonly signal?: AbortSignal;
  /** Called after each question. */
  readonly onOutcome?: (outcome: SceneOutcome, done: number) => void | Promise<void>;
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const groupBy = (
  outcomes: readonly SceneOutcome[],
  keyOf: (outcome: SceneOutcome) => string,
): Map<string, SceneOutcome[]> => {
  const groups = new Map<string, SceneOutcome[]>();
  for (const outcome of outcomes) {
    const group = groups.get(keyOf(outcome));
    if (group) group.push(outcome);
    else groups.set(keyOf(outcome), [outcome]);
  }
  return groups;
};

const proportionOf = (outcomes: readonly SceneOutcome[]): Proportion =>
  proportion(outcomes.filter(({ isRight }) => isRight).length, outcomes.length);

/** How often each granularity was chosen. */
const countGranularities = (
  outcomes: readonly SceneOutcome[],
): Pick<FamilyEvaluation, "granularities"> => {
  const groups = groupBy(
    outcomes.filter(({ granularity }) => granularity !== undefined),
    ({ granularity }) => String(granularity),
  );
  if (groups.size === 0) return {};
  return {
    granularities: Object.fromEntries([...groups].map(([name, group]) => [name, group.length])),
  };
};

/** Shares and means of outcomes; families in the order of their names. */
export const summariseOutcomes = (outcomes: readonly SceneOutcome[]): SceneEvaluation => {
  const families = [...groupBy(outcomes, ({ family }) => family)].sort(([a], [b]) =>
    a < b ? -1 : 1,
  );
  return {
    total: proportionOf(outcomes),
    byFineness: Object.fromEntries(
      [...groupBy(outcomes, ({ fineness }) => fineness)].map(([name, group]) => [
        name,
        proportionOf(group),
      ]),
    ),
    byFamily: Object.fromEntries(
      families.map(([name, group]) => [
        name,
        { ...proportionOf(group), fineness: group[0].fineness, ...countGranularities(group) },
      ]),
    ),
    visionTokens: mean(outcomes.map(({ visionTokens }) => visionTokens)),
    promptTokens: mean(outcomes.map(({ promptTokens }) => promptTokens)),
    firstTokenMs: mean(outcomes.map(({ firstTokenMs }) => firstTokenMs)),
    totalMs: mean(outcomes.map(({ totalMs }) => totalMs)),
  };
};

/**
 * Asks a model the questions of `sampleSceneQuestions`, one at a time. An answer is right where it is, spaces around it
 * aside, the question's one answer.
 *
 * @throws as `sampleSceneQuestions`, the renderer and the model; what `signal` was aborted with.
 */
export const evaluateScenes = async (
  model: VisionLanguageModel,
  options: EvaluateScenesOptions,
): Promise<SceneEvaluation> => {
  const { generate = {}, signal, onOutcome } = options;
  const { heightPx = visionFactsOf(model.system.config).viewSidePx } = options;
  const renderer = await createSceneRenderer();
  const ask = async ({ scene, question }: SceneQuestion): Promise<SceneOutcome> => {
    const frames = await renderer.renderFrames(scene, heightPx);
    const media: Media =
      scene.kind === "clip"
        ? { type: "video", video: createFramesSource(frames), sampling: { rule: "all" } }
        : { type: "image", image: frames[0] };
    const startedMs = performance.now();
    const {
      text,
      usage,
      timings,
      media: reports,
    } = await model.answer({
      maxTokens: 16,
      temperature: 0,
      ...generate,
      messages: [
        {
          role: "user",
          content: [{ type: media.type }, { type: "text", text: question.question }],
        },
      ],
      media: [media],
      signal,
    });
    const granularity = reports[0]?.routes?.[0]?.granularity;
    return {
      scene: sceneId(scene),
      family: question.family,
      fineness: question.fineness,
      question: question.question,
      expected: question.answer,
      answer: text.trim(),
      isRight: text.trim() === question.answer,
      visionTokens: usage.imageTokens + usage.videoTokens,
      promptTokens: usage.promptTokens,
      ...(granularity !== undefined && { granularity }),
      firstTokenMs: timings.firstTokenMs,
      totalMs: performance.now() - startedMs,
    };
  };
  const outcomes: SceneOutcome[] = [];
  for (const item of sampleSceneQuestions(options)) {
    signal?.throwIfAborted();
    const outcome = await ask(item);
    outcomes.push(outcome);
    await onOutcome?.(outcome, outcomes.length);
  }
  return summariseOutcomes(outcomes);
};
