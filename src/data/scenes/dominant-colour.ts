/** Which palette colour a render mostly shows; the table of object classes is made with it. */
import type { ColourName } from "./palette.js";

/** The name that people would give a pixel: by lightness and saturation first, then by hue. */
const nameOf = (red: number, green: number, blue: number): ColourName => {
  const high = Math.max(red, green, blue) / 255;
  const low = Math.min(red, green, blue) / 255;
  const chroma = high - low;
  if (high < 0.4) return "black";
  if (chroma < 0.12 || chroma / high < 0.16) {
    if (high > 0.86) return "white";
    return high < 0.3 ? "black" : "grey";
  }
  let sixth: number;
  if (red >= green && red >= blue) sixth = ((green - blue) / 255 / chroma) % 6;
  else if (green >= blue) sixth = (blue - red) / 255 / chroma + 2;
  else sixth = (red - green) / 255 / chroma + 4;
  const degrees = ((sixth + 6) % 6) * 60;
  if (degrees < 12 || degrees >= 335) {
    if (high < 0.74) return "brown";
    return chroma / high < 0.55 ? "pink" : "red";
  }
  if (degrees < 42) return high < 0.66 ? "brown" : "orange";
  if (degrees < 68) return high < 0.5 ? "brown" : "yellow";
  if (degrees < 165) return "green";
  if (degrees < 250) return "blue";
  if (degrees < 295) return "purple";
  return high > 0.7 ? "pink" : "purple";
};

/** Commonest colour name among the opaque pixels of `pixels` [n, 4] (RGBA); white if there is none. */
export const measureDominantColour = (pixels: Uint8Array | Uint8ClampedArray): ColourName => {
  const counts = new Map<ColourName, number>();
  let best: ColourName = "white";
  for (let at = 0; at < pixels.length; at += 4) {
    if (pixels[at + 3] < 128) continue;
    const name = nameOf(pixels[at], pixels[at + 1], pixels[at + 2]);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  for (const [name, count] of counts) if (count > (counts.get(best) ?? 0)) best = name;
  return best;
};
