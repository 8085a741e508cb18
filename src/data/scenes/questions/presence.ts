import { objectClasses, shapeNames, withArticle } from "../object-classes.js";
import { areShapes, createFamily, yesNo } from "./question.js";

const objectNames = objectClasses.map(({ name }) => name);

/** Whether something is there. What is not is drawn like what is, so that the word gives nothing away. */
export const presence = createFamily("presence", "coarse", "simple", ({ grid }, random) => {
  const names = [...new Set(grid.things.map(({ name }) => name))];
  const known: readonly string[] = areShapes(grid.things) ? shapeNames : objectNames;
  const absent = known.filter((name) => !names.includes(name));
  if (names.length === 0 || absent.length === 0) return undefined;
  const isThere = random.chance(0.5);
  const name = random.pick(isThere ? names : absent);
  return { question: `Is there ${withArticle(name)}?`, answer: yesNo(isThere) };
});
