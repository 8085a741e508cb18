import { type Box, fitText, type Mark, type Point } from "./mark.js";
import { inkOn, palette, shadeColour } from "./palette.js";
import type { Cards, Direction, Panel } from "./scene.js";

const setCase = ({ text, content, letterCase }: Panel): string => {
  if (content !== "word" || letterCase === "lower") return text;
  return letterCase === "upper"
    ? text.toUpperCase()
    : text.slice(0, 1).toUpperCase() + text.slice(1);
};

/** What a panel shows, letter by letter. */
export const printedText = setCase;

/** An arrow to the right around 0, with a longest side of 1. */
const arrow: readonly Point[] = [
  [-0.5, -0.13],
  [0.06, -0.13],
  [0.06, -0.36],
  [0.5, 0],
  [0.06, 0.36],
  [0.06, 0.13],
  [-0.5, 0.13],
];

const turns: Readonly<Record<Direction, (point: Point) => Point>> = {
  right: ([x, y]) => [x, y],
  left: ([x, y]) => [-x, y],
  down: ([x, y]) => [-y, x],
  up: ([x, y]) => [y, -x],
};

const layOutPanel = (panel: Panel, cell: Box, shade: number): Mark[] => {
  const width = panel.width * cell.width;
  const height = panel.height * cell.height;
  const box = {
    x: cell.x + (cell.width - width) / 2,
    y: cell.y + (cell.height - height) / 2,
    width,
    height,
  };
  const colour = shadeColour(palette[panel.colour], shade);
  const ink = inkOn(colour);
  const text = printedText(panel);
  const middle = box.y + height / 2;
  const arrowSide = panel.arrow === undefined ? 0 : Math.min(height * 0.6, width * 0.26);
  const textWidth = width * 0.9 - arrowSide * 1.15;
  const em = fitText(text, "bold", textWidth, panel.textScale * height);
  // The arrow stands where it points, so that it leads away from the word; upright ones stand on the left.
  const isRight = panel.arrow === "right";
  const arrowX = isRight
    ? box.x + width * 0.95 - arrowSide / 2
    : box.x + width * 0.05 + arrowSide / 2;
  const textLeft = isRight ? box.x + width * 0.05 : box.x + width * 0.95 - textWidth;
  const { arrow: direction } = panel;
  const isSign = direction !== undefined;
  const frame: Mark[] = isSign
    ? [{ type: "boxes", boxes: [box], colour: ink, radius: height * 0.12 }]
    : [];
  const edge = isSign ? height * 0.035 : 0;
  const face = {
    x: box.x + edge,
    y: box.y + edge,
    width: width - 2 * edge,
    height: height - 2 * edge,
  };
  return [
    ...frame,
    { type: "boxes", boxes: [face], colour, radius: height * (isSign ? 0.1 : 0.05) },
    {
      type: "text",
      text,
      x: textLeft + textWidth / 2,
      y: middle,
      align: "centre",
      em,
      font: "bold",
      colour: ink,
    },
    ...(direction === undefined
      ? []
      : [
          {
            type: "polygons",
            polygons: [
              arrow
                .map(turns[direction])
                .map(([x, y]): Point => [arrowX + x * arrowSide, middle + y * arrowSide]),
            ],
            colour: ink,
          } as const,
        ]),
  ];
};

/** The marks of cards or signs. */
export const layOutPanels = (
  { rows, columns, panels }: Cards,
  aspect: number,
  shade: number,
): Mark[] =>
  panels.flatMap((panel) => {
    const width = aspect / columns;
    const height = 1 / rows;
    const cell = { x: panel.column * width, y: panel.row * height, width, height };
    return layOutPanel(panel, cell, shade);
  });
