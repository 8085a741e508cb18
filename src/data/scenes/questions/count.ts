import { countNames } from "../grid.js";
import { objectClasses, pluralOf, shapeNames } from "../object-classes.js";
import { areShapes, createFamily } from "./question.js";

const objectNames = objectClasses.map(({ name }) => name);

/** How many there are of a class; asked where something is repeated, else every answer would be 0 or 1. */
export const count = createFamily("count", "medium", "simple", ({ grid }, random) => {
  const counts = countNames(grid.things);
  if (Math.max(0, ...counts.values()) < 2) return undefined;
  const known: readonly string[] = areShapes(grid.things) ? shapeNames : objectNames;
  const absent = known.filter((name) => !counts.has(name));
  // Answers first. Zero is possible in nearly every scene, so it is offered in a few of them only.
  const answers = [...new Set(counts.values())];
  const answer = absent.length > 0 && random.chance(0.12) ? 0 : random.pick(answers);
  const names =
    answer === 0
      ? absent
      : [...counts].filter(([, value]) => value === answer).map(([name]) => name);
  const name = random.pick(names);
  return { question: `How many ${pluralOf(name)} are there?`, answer: String(answer) };
});
