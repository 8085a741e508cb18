/** What is printed on cards: numbers, words and codes, each a family of its own. */
import { printedText } from "../layout-panels.js";
import type { Panel } from "../scene.js";
import { createFamily } from "./question.js";

const createCardFamily = (content: Panel["content"]) =>
  createFamily(content, "fine", "detail", ({ content: cards }, random) => {
    if (cards.type !== "cards") return undefined;
    const panels = cards.panels.filter((panel) => panel.content === content);
    if (panels.length === 0) return undefined;
    const panel = random.pick(panels);
    const which = cards.panels.length === 1 ? "card" : `${panel.colour} card`;
    return {
      question: `What ${content} is on the ${which}?`,
      answer: panel.text,
      evidence: [printedText(panel)],
    };
  });

export const number = createCardFamily("number");
export const word = createCardFamily("word");
export const code = createCardFamily("code");
