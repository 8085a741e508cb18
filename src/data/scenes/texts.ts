/**
 * Scenes without images, to pretrain a decoder: a description, then questions whose answers stand in it. They force
 * what a small decoder else never learns: to look a word of the question up in what came before, from thing to place
 * and from place to thing.
 */
import { describeScene } from "./descriptions.js";
import { objectClasses } from "./object-classes.js";
import { colourNames } from "./palette.js";
import { type QuestionOptions, questionsFor } from "./questions/index.js";
import type { Question } from "./questions/question.js";
import { createRandomStream, type SceneKey } from "./random.js";
import type { Scene } from "./scene.js";

/** Words of lists: each is one token. */
const listWords: readonly string[] = [...objectClasses.map(({ name }) => name), ...colourNames];

/** From 3 to 10 different words in random order; their number varies, so that no fixed distance leads from one to its copy. */
export const sampleList = (key: SceneKey, variant = 0): string[] => {
  const random = createRandomStream(key, "description", variant);
  const count = 3 + random.integer(8);
  return random.shuffle(listWords).slice(0, count);
};

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
