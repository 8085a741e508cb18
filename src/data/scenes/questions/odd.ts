import { countNames } from "../grid.js";
import { areShapes, createFamily } from "./question.js";

/** The one object that is not like the others, which are all alike and at least two. */
export const odd = createFamily("odd", "medium", "simple", ({ grid: { things } }) => {
  const counts = [...countNames(things)].sort(([, first], [, second]) => first - second);
  if (areShapes(things) || counts.length !== 2 || counts[0][1] !== 1 || counts[1][1] < 2)
    return undefined;
  return { question: "Which object is different from the others?", answer: counts[0][0] };
});
