/** Numbers as people read them. */
import type { SeenMedium } from "../data/figures.js";

const steps = ["", "k", "M", "G", "T", "P"] as const;

const scaled = (value: number, base: number): readonly [text: string, step: number] => {
  let [rest, step] = [value, 0];
  while (rest >= base && step < steps.length - 1) {
    rest /= base;
    step += 1;
  }
  const digits = step === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2;
  return [rest.toFixed(digits), step];
};

export const formatCount = (count: number): string => count.toLocaleString("en");

/** `12.3 GFLOP`. */
export const formatFlops = (flops: number): string => {
  const [text, step] = scaled(flops, 1000);
  return `${text} ${steps[step]}FLOP`;
};

/** `4.19 MB`, in steps of a thousand. */
export const formatBytes = (bytes: number): string => {
  const [text, step] = scaled(bytes, 1000);
  return `${text} ${steps[step]}B`;
};

export const formatMs = (ms: number): string =>
  ms >= 10_000
    ? `${(ms / 1000).toFixed(0)} s`
    : ms >= 1000
      ? `${(ms / 1000).toFixed(2)} s`
      : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`;

export const tokensText = (count: number): string =>
  `${formatCount(count)} token${count === 1 ? "" : "s"}`;

/** How the parts of an image lie: `2×2`. */
const gridOf = (views: SeenMedium["views"]): string => {
  const places = (side: "left" | "top") =>
    new Set(views.map(({ box }) => Math.round(box?.[side] ?? -1))).size;
  return `${places("left")}×${places("top")}`;
};

/** Every view in words: `the whole at 336×336, 2×2 parts at 336×336`. */
export const describeViews = ({ views, frames }: SeenMedium): string => {
  const whole = views.filter(({ role }) => role === "whole");
  const parts = views.filter(({ role }) => role === "part");
  const size = ({ width, height }: { width: number; height: number }) => `${width}×${height}`;
  const texts = [
    ...whole.map((view) => `the whole at ${size(view)}`),
    ...(parts.length > 0 ? [`${gridOf(parts)} parts at ${size(parts[0])}`] : []),
  ];
  const text = texts.join(", ");
  return frames
    ? `${formatCount(frames.sampled)} of ${formatCount(frames.total)} frames, each ${text}`
    : text;
};
