/** 1234567 → 1,234,567. */
export const formatCount = (count: number): string => count.toLocaleString("en-US");

const units = ["B", "kB", "MB", "GB", "TB"] as const;

/** Bytes in powers of 1000, three digits: 13.5 GB. */
export const formatBytes = (bytes: number): string => {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
};

const flopUnits = ["", " k", " M", " G", " T", " P"] as const;

/** Operations in powers of 1000, four digits: 1.961 T. */
export const formatFlops = (flops: number): string => {
  let value = flops;
  let unit = 0;
  while (value >= 999.95 && unit < flopUnits.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? Math.round(value) : value.toPrecision(4)}${flopUnits[unit]}`;
};
