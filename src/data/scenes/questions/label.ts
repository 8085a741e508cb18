/** Numbers printed under objects, in both directions. */

import type { RandomStream } from "../random.js";
import type { DetailScene, PlacedThing } from "../scene.js";
import { createFamily } from "./question.js";

const pickLabelled = ({ content }: DetailScene, random: RandomStream): PlacedThing | undefined =>
  content.type === "labels" ? random.pick(content.grid.things) : undefined;

export const label = createFamily("label", "fine", "detail", (scene, random) => {
  const thing = pickLabelled(scene, random);
  if (thing?.label === undefined) return undefined;
  const answer = String(thing.label);
  return { question: `What number is under the ${thing.name}?`, answer, evidence: [answer] };
});

export const labelThing = createFamily("label-thing", "fine", "detail", (scene, random) => {
  const thing = pickLabelled(scene, random);
  if (thing?.label === undefined) return undefined;
  const number = String(thing.label);
  return {
    question: `Which object has the number ${number}?`,
    answer: thing.name,
    evidence: [number],
  };
});
