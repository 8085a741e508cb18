/** Numbers of a page: each is written from a place of the explanation and says which. */
import type { Explanation } from "../../analyze/explanation.js";
import { formatBytes, formatCount, formatFlops } from "../quantities.js";

/** A share as a percentage. The page's script has this very function, so it stands alone. */
export const formatShare = (share: number): string =>
  `${(100 * share).toFixed(share < 0.1 ? 2 : 1)} %`;

const formats = {
  bytes: formatBytes,
  count: formatCount,
  flops: formatFlops,
  ms: (ms: number) => `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`,
  nats: (nats: number) => nats.toFixed(3),
  rate: (rate: number) => rate.toFixed(1),
  share: formatShare,
} as const;
export type Format = keyof typeof formats;

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** The value at a dotted path. */
export const valueAt = (explanation: Explanation, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (value, key) => (value as Record<string, unknown> | undefined)?.[key],
      explanation,
    );

/** The text of a number; a dash where there is none. */
export const formatValue = (value: unknown, format: Format): string =>
  typeof value === "number" ? formats[format](value) : "–";

/** Writes the number at a path of `explanation`. */
export const createShow =
  (explanation: Explanation) =>
  (path: string, format: Format): string =>
    `<data data-path="${path}" data-format="${format}">${escapeHtml(formatValue(valueAt(explanation, path), format))}</data>`;
export type Show = ReturnType<typeof createShow>;
