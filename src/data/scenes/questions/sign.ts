/** Signs: what they say, which way they point, and which way to go. */
import { printedText } from "../layout-panels.js";
import type { RandomStream } from "../random.js";
import type { DetailScene, Panel } from "../scene.js";
import { createFamily } from "./question.js";

const pickSign = ({ content }: DetailScene, random: RandomStream): Panel | undefined =>
  content.type === "signs" ? random.pick(content.panels) : undefined;

export const sign = createFamily("sign", "fine", "detail", (scene, random) => {
  const panel = pickSign(scene, random);
  return (
    panel && {
      question: `What does the ${panel.colour} sign say?`,
      answer: panel.text,
      evidence: [printedText(panel)],
    }
  );
});

export const arrow = createFamily("arrow", "medium", "detail", (scene, random) => {
  const panel = pickSign(scene, random);
  if (panel?.arrow === undefined) return undefined;
  return {
    question: `Which way does the ${panel.colour} sign point?`,
    answer: panel.arrow,
  };
});

export const way = createFamily("way", "fine", "detail", (scene, random) => {
  const panel = pickSign(scene, random);
  if (panel?.arrow === undefined) return undefined;
  return {
    question: `Which way is the ${panel.text}?`,
    answer: panel.arrow,
    evidence: [printedText(panel)],
  };
});
