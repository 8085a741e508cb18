import { areShapes, createFamily } from "./question.js";

/** How many things there are at all. */
export const total = createFamily("total", "coarse", "simple", ({ grid: { things } }) => ({
  question: `How many ${areShapes(things) ? "shapes" : "objects"} are there?`,
  answer: String(things.length),
}));
