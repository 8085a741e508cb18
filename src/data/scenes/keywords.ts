/**
 * Questions in keywords: "Is there a duck?" is "duck", "How many buses are there?" is "many buses". With the answer right
 * behind what it is about, they are the cheapest way to practise what questions ask for.
 */

import { horizontalWords, uniqueThings } from "./grid.js";
import { totalOf } from "./layout-paper.js";
import type { Question } from "./questions/question.js";
import { createRandomStream } from "./random.js";
import type { DetailContent, Scene } from "./scene.js";
import { formatCents } from "./words.js";

/** Draws of its own, apart from those of questions. */
const columnVariant = 2_000_000;
const characterVariant = 3_000_000;

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

/** Places of a piece of print that are asked for one by one: further on, counting letters is the harder part. */
const spelledPlaces = 5;
/** Most questions of this kind about a scene. */
const mostCharacters = 12;

/** Pieces of print, each with the word that it is asked by. */
const printOf = (content: DetailContent): (readonly [key: string, text: string])[] => {
  switch (content.type) {
    case "labels":
      return content.grid.things.map(({ name, label }) => [name, String(label)]);
    case "cards":
    case "signs":
      return content.panels.map(({ colour, text }) => [colour, text]);
    case "receipt":
      return [
        ["receipt", content.shop],
        ...content.items.map(({ name, cents }) => [name, formatCents(cents)] as const),
        ["total", formatCents(totalOf(content))],
      ];
    case "table":
      return content.rows.flatMap((person, row) =>
        content.columns.map(
          (day, column) => [`${person} ${day}`, String(content.values[row][column])] as const,
        ),
      );
    case "chart":
      return content.bars.map(({ colour, name }) => [colour, name]);
  }
};

/**
 * Single characters of what is printed, by their place: "red 3" is "2" where the red card says 4821. A number that is
 * told digit by digit gives no reason to carry the second digit along before the first one is known, as columns do not;
 * asked for by itself, every character is one lookup. Capitals of words count as small letters.
 */
export const characterFacts = (scene: Scene): Question[] =>
  scene.kind !== "detail"
    ? []
    : createRandomStream(scene.key, "questions", characterVariant)
        .shuffle(
          printOf(scene.content).flatMap(([key, text]) =>
            [...text].slice(0, spelledPlaces).map((character, at) => ({
              family: "character",
              fineness: "fine" as const,
              question: `${key} ${at + 1}`,
              answer: character,
            })),
          ),
        )
        .slice(0, mostCharacters);

/** A question in keywords, without a question mark. */
export const keywordsOf = (question: string): string => {
  const words = question.replace(/\?$/, "").split(" ");
  return words
    .filter((word, at) => !fillers.has(word.toLowerCase()) || pairs.has(`${words[at - 1]} ${word}`))
    .join(" ");
};
