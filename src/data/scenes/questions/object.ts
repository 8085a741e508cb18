import { createFamily } from "./question.js";

/** What the one object of a scene is. */
export const object = createFamily("object", "coarse", "simple", ({ grid }, random) => {
  const [first, second] = grid.things;
  if (first === undefined || second !== undefined) return undefined;
  return {
    question: random.pick(["What is this?", "What object is shown?"]),
    answer: first.name,
  };
});
