/** Backgrounds: calm enough that everything on them can be seen, varied enough that nothing else can be learned. */
import type { Rgb } from "../../image/image.js";
import { type ColourName, hslToRgb, palette, shadeColour } from "./palette.js";
import type { RandomStream } from "./random.js";
import { type Background, patterns } from "./scene.js";

const noSpots: Background["spots"] = [];

/** A plain background in one of the palette's colours. */
export const sampleNamedBackground = (
  random: RandomStream,
  names: readonly ColourName[],
  shade: number,
): Background => {
  const name = random.pick(names);
  const colour = shadeColour(palette[name], shade);
  return { pattern: "plain", colours: [colour, colour], name, repeats: 1, spots: noSpots };
};

/** A pattern of two related colours that have no simple names: `light` for what needs a bright ground. */
export const sampleBackground = (
  random: RandomStream,
  aspect: number,
  tone: "any" | "light",
): Background => {
  const isDark = tone === "any" && random.chance(0.25);
  const hue = random.next();
  const saturation = tone === "light" ? random.between(0, 0.12) : random.between(0.08, 0.4);
  const lightness = isDark ? random.between(0.22, 0.34) : random.between(0.84, 0.94);
  const first: Rgb = hslToRgb(hue, saturation, lightness);
  const contrast = isDark ? random.between(0.03, 0.1) : random.between(0.03, 0.08);
  const second: Rgb = hslToRgb(
    (hue + random.between(0, 0.12)) % 1,
    saturation,
    lightness - contrast,
  );
  const pattern = random.pick(patterns);
  const spots =
    pattern === "blobs"
      ? Array.from(
          { length: 4 + random.integer(5) },
          () => [random.between(0, aspect), random.next(), random.between(0.08, 0.35)] as const,
        )
      : noSpots;
  return { pattern, colours: [first, second], repeats: 3 + random.integer(6), spots };
};
