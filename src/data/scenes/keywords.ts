/**
 * Questions in keywords: "Is there a duck?" is "duck", "How many buses are there?" is "many buses". With the answer right
 * behind what it is about, they are the cheapest way to practise what questions ask for.
 */

/** Words that only make a sentence of it. "Which", "What" and "Where" stay: they tell what is asked about a word. */
const fillers: ReadonlySet<string> = new Set(
  "a an and are at how image in is object of others same the there".split(" "),
);

/** Words that a filler belongs to: without it, these would be read as something else. */
const pairs: ReadonlySet<string> = new Set(["left of", "right of"]);

/** A question in keywords, without a question mark. */
export const keywordsOf = (question: string): string => {
  const words = question.replace(/\?$/, "").split(" ");
  return words
    .filter((word, at) => !fillers.has(word.toLowerCase()) || pairs.has(`${words[at - 1]} ${word}`))
    .join(" ");
};
