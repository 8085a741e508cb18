import type { AnswerRecord } from "../data/conversation.js";
import { formatCount } from "./format.js";

/** `46 times as many`; undefined where there is nothing to compare. */
const timesText = (more: number, less: number): string | undefined => {
  if (less <= 0 || more <= 0) return undefined;
  const times = more / less;
  return times >= 10 ? formatCount(Math.round(times)) : times.toFixed(1);
};

/** One sentence on how two answers to one question differ in what they took. */
export const Comparison = ({ answers }: { readonly answers: readonly AnswerRecord[] }) => {
  const [left, right] = answers.map(({ figures, lane }) => figures && { figures, lane });
  if (!left || !right) return null;
  const [more, less] =
    left.figures.visionTokens >= right.figures.visionTokens ? [left, right] : [right, left];
  const tokens = timesText(more.figures.visionTokens, less.figures.visionTokens);
  const compute = timesText(more.figures.flops, less.figures.flops);
  if (tokens === undefined || tokens === "1.0" || compute === undefined) return null;
  const side = less === left ? "left" : "right";
  return (
    <p class="comparison">
      The {side} answer took 1/{tokens} of the vision tokens and{" "}
      {Number.parseFloat(compute) >= 1
        ? `1/${compute}`
        : `${(1 / Number(compute)).toFixed(1)} times`}{" "}
      of the computation.
    </p>
  );
};
