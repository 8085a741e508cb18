import type { PlacedThing } from "../scene.js";
import { areShapes, createFamily } from "./question.js";

/** How much longer the longer one has to be, so that nobody doubts it. */
const clearRatio = 1.5;

/** The one object that is clearly larger or smaller than all others. */
export const size = createFamily("size", "medium", "simple", ({ grid: { things } }, random) => {
  if (things.length < 2 || areShapes(things)) return undefined;
  const sorted = [...things].sort((first, second) => second.extent - first.extent);
  const isClear = (long: PlacedThing, short: PlacedThing) =>
    long.extent >= clearRatio * short.extent;
  const answers = [
    ...(isClear(sorted[0], sorted[1]) ? [["largest", sorted[0].name] as const] : []),
    ...(isClear(sorted[sorted.length - 2], sorted[sorted.length - 1])
      ? [["smallest", sorted[sorted.length - 1].name] as const]
      : []),
  ];
  if (answers.length === 0) return undefined;
  const [word, answer] = random.pick(answers);
  return { question: `Which object is the ${word}?`, answer };
});
