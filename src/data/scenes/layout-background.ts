import type { Box, Mark, Point } from "./mark.js";
import type { Background } from "./scene.js";

/** Slanted bands; they reach past the edges, where the renderer cuts them off. */
const stripes = (aspect: number, repeats: number): Point[][] => {
  const step = 1 / repeats;
  const numBands = Math.ceil((aspect + 1) / step);
  return Array.from({ length: numBands }, (_, at) => {
    const left = at * step - 1;
    return [
      [left, 1],
      [left + step / 2, 1],
      [left + 1 + step / 2, 0],
      [left + 1, 0],
    ];
  });
};

const checks = (aspect: number, repeats: number): Box[] => {
  const step = 1 / repeats;
  const columns = Math.ceil(aspect * repeats);
  return Array.from({ length: repeats * columns }, (_, at) => at)
    .filter((at) => (Math.floor(at / columns) + (at % columns)) % 2 === 1)
    .map((at) => ({
      x: (at % columns) * step,
      y: Math.floor(at / columns) * step,
      width: step,
      height: step,
    }));
};

const dots = (aspect: number, repeats: number) => {
  const step = 1 / repeats;
  const columns = Math.ceil(aspect * repeats);
  return Array.from(
    { length: repeats * columns },
    (_, at) =>
      [
        ((at % columns) + 0.5) * step,
        (Math.floor(at / columns) + 0.5) * step,
        step * 0.22,
      ] as const,
  );
};

/** The marks of a background, which cover the whole image. */
export const layOutBackground = (
  { pattern, colours, repeats, spots }: Background,
  aspect: number,
): Mark[] => {
  const box: Box = { x: 0, y: 0, width: aspect, height: 1 };
  const [ground, figure] = colours;
  if (pattern === "gradient") return [{ type: "gradient", box, colours }];
  const base: Mark = { type: "boxes", boxes: [box], colour: ground };
  switch (pattern) {
    case "plain":
      return [base];
    case "stripes":
      return [base, { type: "polygons", polygons: stripes(aspect, repeats), colour: figure }];
    case "checks":
      return [base, { type: "boxes", boxes: checks(aspect, repeats), colour: figure }];
    case "dots":
      return [base, { type: "circles", circles: dots(aspect, repeats), colour: figure }];
    case "blobs":
      return [base, { type: "circles", circles: spots, colour: figure }];
  }
};
