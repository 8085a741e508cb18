import { createFamily } from "./question.js";

/** Colour of a plain background. */
export const background = createFamily(
  "background",
  "coarse",
  "simple",
  ({ background: { name } }) =>
    name && { question: "What colour is the background?", answer: name },
);
