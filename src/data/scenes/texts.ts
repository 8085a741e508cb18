/**
 * Scenes without images, to pretrain a decoder: a description, then questions whose answers stand in it. They force
 * what a small decoder else never learns: to look a word of the question up in what came before, from thing to place
 * and from place to thing.
 */
import { describeScene } from "./descriptions.js";
import { type QuestionOptions, questionsFor } from "./questions/index.js";
import type { Question } from "./questions/question.js";
import type { Scene } from "./scene.js";

export type SceneText = {
  readonly description: string;
  readonly questions: readonly Question[];
};

/** A scene in words with questions about it. Throws OptionsError as `questionsFor` does. */
export const sampleText = (scene: Scene, options?: QuestionOptions): SceneText => ({
  description: describeScene(scene, options?.variant),
  questions: questionsFor(scene, options),
});

/** One plain text: the description, then each question and its answer, a line each. */
export const formatText = ({ description, questions }: SceneText): string =>
  [description, ...questions.map(({ question, answer }) => `${question} ${answer}`)].join("\n");
