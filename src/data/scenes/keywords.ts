/**
 * Questions in keywords: "Is there a duck?" is "duck", "How many buses are there?" is "many buses". With the answer right
 * behind what it is about, they are the cheapest way to practise what questions ask for.
 */

import { horizontalWords, uniqueThings } from "./grid.js";
import type { Question } from "./questions/question.js";
import { createRandomStream } from "./random.js";
import type { Scene } from "./scene.js";

/** Draws of its own, apart from those of questions. */
const columnVariant = 2_000_000;

/** Words that only make a sentence of it. "Which", "What" and "Where" stay: they tell what is asked about a word. */
const fillers: ReadonlySet<string> = new Set(
  "a an and are at how image in is object of others same the there".split(" "),
);

/** Words that a filler belongs to: without it, these would be read as something else. */
const pairs: ReadonlySet<string> = new Set(["left of", "right of"]);

/**
 * What is asked in keywords about a scene in which column each thing stands: the second word of its place by itself. As the
 * second word it can only be learned when the first one's place already carries it along, for which there is no reason
 * before the second word is learned.
 */
export const columnFacts = (scene: Scene): Question[] =>
  scene.kind !== "simple"
    ? []
    : createRandomStream(scene.key, "questions", columnVariant).shuffle(
        uniqueThings(scene.grid.things).map(({ name, column }) => ({
          family: "column",
          fineness: "medium" as const,
          question: `left right ${name}`,
          answer: horizontalWords(scene.grid.columns)[column],
        })),
      );

/** A question in keywords, without a question mark. */
export const keywordsOf = (question: string): string => {
  const words = question.replace(/\?$/, "").split(" ");
  return words
    .filter((word, at) => !fillers.has(word.toLowerCase()) || pairs.has(`${words[at - 1]} ${word}`))
    .join(" ");
};
