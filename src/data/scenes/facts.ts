/**
 * Questions and answers in keywords: "Is there a duck? yes" is "duck yes", "How many buses are there? 3" is "many buses
 * 3". A third of the words of a conversation, with the answer right behind what it is about: the cheapest way to practise
 * what a question asks for.
 */
import type { Question } from "./questions/question.js";

/** Words that only make a sentence of it. "Which", "What" and "Where" stay: they tell what is asked about a word. */
const fillers: ReadonlySet<string> = new Set(
  "a an and are at how image in is object of others same the there".split(" "),
);

/** Words that a filler belongs to: without it, these would be read as something else. */
const pairs: ReadonlySet<string> = new Set(["left of", "right of"]);

/** A question and its answer in keywords, without a full stop. */
export const tellBriefly = ({
  question,
  answer,
}: Pick<Question, "question" | "answer">): string => {
  const words = question.replace(/\?$/, "").split(" ");
  const kept = words.filter(
    (word, at) => !fillers.has(word.toLowerCase()) || pairs.has(`${words[at - 1]} ${word}`),
  );
  return [...kept, answer].join(" ");
};

/** Facts as one text. */
export const tellFacts = (questions: readonly Question[]): string =>
  questions.map((question) => `${tellBriefly(question)}.`).join(" ");
