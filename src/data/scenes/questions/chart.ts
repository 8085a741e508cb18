/** Bar charts: the tallest or shortest bar, the value of a bar, and the colour of one. */
import type { Chart, DetailScene } from "../scene.js";
import { createFamily } from "./question.js";

const chartOf = ({ content }: DetailScene): Chart | undefined =>
  content.type === "chart" ? content : undefined;

export const chartExtreme = createFamily("chart-extreme", "fine", "detail", (scene, random) => {
  const chart = chartOf(scene);
  if (chart === undefined) return undefined;
  const sorted = [...chart.bars].sort((first, second) => second.value - first.value);
  const [wanted, at] = random.pick([["tallest", 0] as const, ["shortest", -1] as const]);
  const answer = sorted.at(at)?.name;
  return answer === undefined
    ? undefined
    : { question: `Which bar is the ${wanted}?`, answer, evidence: [answer] };
});

export const chartColour = createFamily("chart-colour", "medium", "detail", (scene, random) => {
  const chart = chartOf(scene);
  if (chart === undefined) return undefined;
  const sorted = [...chart.bars].sort((first, second) => second.value - first.value);
  const [wanted, at] = random.pick([["tallest", 0] as const, ["shortest", -1] as const]);
  const answer = sorted.at(at)?.colour;
  return answer === undefined
    ? undefined
    : { question: `What colour is the ${wanted} bar?`, answer };
});

export const chartValue = createFamily("chart-value", "fine", "detail", (scene, random) => {
  const chart = chartOf(scene);
  if (chart === undefined) return undefined;
  const { name, value } = random.pick(chart.bars);
  return {
    question: `What is the value of the ${name} bar?`,
    answer: String(value),
    evidence: [name, String(value)],
  };
});
