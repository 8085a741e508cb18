/** One-dimensional bicubic resizing as weights, as `torch.nn.functional.interpolate` computes it. */

/** The cubic kernel with a = -0.75. */
const cubic = (distance: number): number => {
  const a = -0.75;
  const x = Math.abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
  return 0;
};

/** One input place and how much of it an output place takes. */
export type Tap = { readonly place: number; readonly weight: number };

/**
 * The four taps of every output place, [toSide][4]: half-pixel centres, no antialiasing. Taps beyond
 * a border stand on it, so that a place may occur more than once.
 */
export const bicubicWeights = (fromSide: number, toSide: number): Tap[][] =>
  Array.from({ length: toSide }, (_, place) => {
    const centre = ((place + 0.5) * fromSide) / toSide - 0.5;
    const first = Math.floor(centre) - 1;
    return [first, first + 1, first + 2, first + 3].map((tap) => ({
      place: Math.min(Math.max(tap, 0), fromSide - 1),
      weight: cubic(centre - tap),
    }));
  });
