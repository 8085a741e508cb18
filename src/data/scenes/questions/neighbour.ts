import { neighbourSteps, relations, thingAt, uniqueThings } from "../grid.js";
import { areShapes, createFamily } from "./question.js";

/** What is in the next cell on one side. */
export const neighbour = createFamily("neighbour", "medium", "simple", ({ grid }, random) => {
  if (areShapes(grid.things)) return undefined;
  const pairs = uniqueThings(grid.things).flatMap((thing) =>
    relations.flatMap((relation) => {
      const [down, right] = neighbourSteps[relation];
      const other = thingAt(grid, { row: thing.row + down, column: thing.column + right });
      return other ? [{ relation, name: thing.name, answer: other.name }] : [];
    }),
  );
  if (pairs.length === 0) return undefined;
  const { relation, name, answer } = random.pick(pairs);
  return { question: `What is directly ${relation} the ${name}?`, answer };
});
