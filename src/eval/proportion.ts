/** A share of right answers with its 95 % interval. */
export type Proportion = {
  readonly right: number;
  readonly count: number;
  /** `right / count`; NaN for none. */
  readonly share: number;
  /** Ends of Wilson's 95 % interval. */
  readonly low: number;
  readonly high: number;
};

/** 97.5th percentile of the normal distribution. */
const z = 1.959963984540054;

/**
 * Wilson's score interval (Wilson 1927, JASA 22:209), which unlike the textbook one stays within 0 and 1 and is honest
 * for small counts and shares near the ends.
 */
export const proportion = (right: number, count: number): Proportion => {
  if (count === 0) return { right, count, share: Number.NaN, low: 0, high: 1 };
  const share = right / count;
  const scale = 1 + z ** 2 / count;
  const centre = (share + z ** 2 / (2 * count)) / scale;
  const half = (z / scale) * Math.sqrt((share * (1 - share)) / count + z ** 2 / (4 * count ** 2));
  return { right, count, share, low: Math.max(0, centre - half), high: Math.min(1, centre + half) };
};
