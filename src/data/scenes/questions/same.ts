import { placeName } from "../grid.js";
import { areShapes, createFamily, yesNo } from "./question.js";

/** Whether the objects of two places are of one class; asked where some are and some are not. */
export const same = createFamily("same", "medium", "simple", ({ grid }, random) => {
  const { things } = grid;
  if (areShapes(things)) return undefined;
  const pairs = things.flatMap((first, at) =>
    things.slice(at + 1).map((second) => [first, second] as const),
  );
  const alike = pairs.filter(([first, second]) => first.name === second.name);
  if (alike.length === 0 || alike.length === pairs.length) return undefined;
  const isSame = random.chance(0.5);
  const pair = random.pick(
    isSame ? alike : pairs.filter(([first, second]) => first.name !== second.name),
  );
  const [one, other] = random.shuffle(pair).map((thing) => placeName(grid, thing));
  return {
    question: `Are the objects at the ${one} and at the ${other} the same?`,
    answer: yesNo(isSame),
  };
});
