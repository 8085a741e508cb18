/** Numbers as reports write them: three digits, powers of 1000. */
const prefixes = ["", "k", "M", "G", "T", "P"] as const;

export const prefixed = (value: number, unit: string): string => {
  const power =
    value > 0
      ? Math.min(prefixes.length - 1, Math.max(0, Math.floor(Math.log10(value * 1.0005) / 3)))
      : 0;
  return `${Number((value / 1000 ** power).toPrecision(3))} ${prefixes[power]}${unit}`.trim();
};

export const milliseconds = (ms: number): string =>
  ms >= 9995 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number(ms.toPrecision(3))} ms`;

export const times = (ratio: number): string => `${Number(ratio.toPrecision(3))}x`;

export const plain = (value: number): string => `${Number(value.toPrecision(3))}`;
