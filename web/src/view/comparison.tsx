import type { AnswerRecord } from "../data/conversation.js";
import { formatCount } from "./format.js";

/** `46×`, of more than one. */
const timesText = (more: number, less: number): string => {
  const times = more / less;
  return `${times >= 10 ? formatCount(Math.round(times)) : times.toFixed(1)}×`;
};

/** One sentence on how two answers to one question differ in what they took. */
export const Comparison = ({ answers }: { readonly answers: readonly AnswerRecord[] }) => {
  const [left, right] = answers.map(({ figures }) => figures);
  if (!left || !right || left.visionTokens === 0 || right.visionTokens === 0) return null;
  const isLeft = left.visionTokens > right.visionTokens;
  const [more, less] = isLeft ? [left, right] : [right, left];
  if (more.visionTokens === less.visionTokens) return null;
  return (
    <p class="comparison">
      The answer on the {isLeft ? "left" : "right"} took{" "}
      {timesText(more.visionTokens, less.visionTokens)} the vision tokens and{" "}
      {timesText(more.flops, less.flops)} the computation of the other.
    </p>
  );
};
