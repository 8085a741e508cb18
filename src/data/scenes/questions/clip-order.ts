/** What is seen first, last, before and after, and how much in all. */
import type { ClipScene } from "../scene.js";
import { createFamily, yesNo } from "./question.js";

/** Names in the order in which they are first seen, where they come one by one. */
const arrivals = ({ story, actors }: ClipScene): string[] | undefined =>
  story === "appear" || story === "parade" ? actors.map(({ name }) => name) : undefined;

export const clipOrder = createFamily("clip-order", "medium", "clip", (scene, random) => {
  const names = arrivals(scene);
  if (names === undefined) return undefined;
  const [first, second] = random
    .draw([...names.keys()], 2)
    .sort((one, other) => one - other)
    .map((at) => names[at]);
  const isTrue = random.chance(0.5);
  const [one, other] = isTrue ? [first, second] : [second, first];
  return { question: `Is the ${one} shown before the ${other}?`, answer: yesNo(isTrue) };
});

export const clipFirst = createFamily("clip-first", "medium", "clip", (scene, random) => {
  const names = arrivals(scene);
  if (names === undefined) return undefined;
  const isFirst = random.chance(0.5);
  return {
    question: isFirst ? "Which object is shown first?" : "Which object is the last to be shown?",
    answer: isFirst ? names[0] : names[names.length - 1],
  };
});

export const clipNext = createFamily("clip-next", "medium", "clip", (scene, random) => {
  const names = arrivals(scene);
  if (names === undefined) return undefined;
  const at = random.integer(names.length - 1);
  const isNext = random.chance(0.5);
  return isNext
    ? { question: `What comes right after the ${names[at]}?`, answer: names[at + 1] }
    : { question: `What comes right before the ${names[at + 1]}?`, answer: names[at] };
});

export const clipCount = createFamily("clip-count", "coarse", "clip", ({ actors }) => ({
  question: "How many different objects are shown in the clip?",
  answer: String(actors.length),
}));
