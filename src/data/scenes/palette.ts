/** Colours that have one plain English name each, far enough apart that nobody would name them otherwise. */
import type { Rgb } from "../../image/image.js";

export const palette = {
  red: [214, 34, 40],
  orange: [247, 134, 24],
  yellow: [250, 216, 48],
  green: [40, 158, 66],
  blue: [36, 98, 230],
  purple: [126, 54, 178],
  pink: [248, 150, 196],
  brown: [118, 72, 40],
  black: [24, 24, 28],
  white: [250, 250, 250],
  grey: [142, 146, 152],
} as const satisfies Readonly<Record<string, Rgb>>;

export type ColourName = keyof typeof palette;

export const colourNames: readonly ColourName[] = [
  "red",
  "orange",
  "yellow",
  "green",
  "blue",
  "purple",
  "pink",
  "brown",
  "black",
  "white",
  "grey",
];

/** Colours of flat shapes: those that stand out on a light background. */
export const shapeColours = colourNames.filter((name) => name !== "white" && name !== "grey");

/** Mixes `colour` with black (`shade` < 0) or white (> 0); -1 and 1 give these themselves. */
export const shadeColour = (colour: Rgb, shade: number): Rgb => {
  const goal = shade < 0 ? 0 : 255;
  const mix = (level: number) => Math.round(level + (goal - level) * Math.abs(shade));
  return [mix(colour[0]), mix(colour[1]), mix(colour[2])];
};

/** Perceived lightness from 0 to 1 (Rec. 601 luma). */
export const lumaOf = ([red, green, blue]: Rgb): number =>
  (0.299 * red + 0.587 * green + 0.114 * blue) / 255;

/** Ink that can be read on `paper`: nearly black or white. */
export const inkOn = (paper: Rgb): Rgb => (lumaOf(paper) > 0.5 ? [20, 20, 24] : [255, 255, 255]);

/** Colour of hue [0, 1), saturation and lightness from 0 to 1 (CSS Color 4, section 7). */
export const hslToRgb = (hue: number, saturation: number, lightness: number): Rgb => {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  const level = (offset: number) => {
    const k = (offset + hue * 12) % 12;
    return Math.round(255 * (lightness - spread * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [level(0), level(8), level(4)];
};
