import { type Relation, uniqueThings } from "../grid.js";
import { createFamily, yesNo } from "./question.js";

/** Whether one thing is on a given side of another one in the same row or column. */
export const relation = createFamily("relation", "medium", "simple", ({ grid }, random) => {
  const things = uniqueThings(grid.things);
  const pairs = things.flatMap((first, at) =>
    things
      .slice(at + 1)
      .filter(({ row, column }) => row === first.row || column === first.column)
      .map((second) => ({ first, second })),
  );
  if (pairs.length === 0) return undefined;
  const { first, second } = random.pick(pairs);
  // Things are sorted: the first is left of, or above, the second.
  const words: readonly [Relation, Relation] =
    first.row === second.row ? ["left of", "right of"] : ["above", "below"];
  const isSwapped = random.chance(0.5);
  const [one, other] = isSwapped ? [second.name, first.name] : [first.name, second.name];
  const isTrue = random.chance(0.5);
  const word = words[isTrue === isSwapped ? 1 : 0];
  return { question: `Is the ${one} ${word} the ${other}?`, answer: yesNo(isTrue) };
});
