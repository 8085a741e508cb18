/** Place and thing, in both directions: where is X, and what is at Y. */
import { cellsOf, placeName, thingAt, uniqueThings } from "../grid.js";
import { areShapes, createFamily } from "./question.js";

export const place = createFamily("place", "medium", "simple", ({ grid }, random) => {
  const things = uniqueThings(grid.things);
  if (things.length === 0) return undefined;
  const thing = random.pick(things);
  return { question: `Where is the ${thing.name}?`, answer: placeName(grid, thing) };
});

/** Share of the questions about empty cells, where there are some. */
const emptyShare = 0.1;

export const content = createFamily("content", "medium", "simple", ({ grid }, random) => {
  if (areShapes(grid.things)) {
    const shape = random.pick(grid.things);
    return { question: `Which shape is at the ${placeName(grid, shape)}?`, answer: shape.name };
  }
  const cells = cellsOf(grid);
  const empty = cells.filter((cell) => thingAt(grid, cell) === undefined);
  const cell =
    empty.length > 0 && random.chance(emptyShare) ? random.pick(empty) : random.pick(grid.things);
  return {
    question: `What is at the ${placeName(grid, cell)}?`,
    answer: thingAt(grid, cell)?.name ?? "nothing",
  };
});
