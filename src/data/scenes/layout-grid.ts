import { cellsOf } from "./grid.js";
import { fitText, type Mark } from "./mark.js";
import { isShapeName } from "./object-classes.js";
import { palette, shadeColour } from "./palette.js";
import type { Grid, PlacedThing, Thing } from "./scene.js";
import { outlineOf } from "./shape-outline.js";

/** A thing around (`x`, `y`), `extent` long. */
export const markThing = (
  { name, colour }: Thing,
  [x, y]: readonly [number, number],
  extent: number,
  isFlipped: boolean,
  shade: number,
): Mark =>
  isShapeName(name) && colour !== undefined
    ? {
        type: "polygons",
        polygons: [outlineOf(name, x, y, extent)],
        colour: shadeColour(palette[colour], shade),
      }
    : { type: "sprite", name, x, y, extent, isFlipped };

/** Room between neighbouring tiles, as a fraction of a cell's shorter side. */
const tileGap = 0.04;
/** Where labelled things stand in their cell, and their labels, from its top to its bottom. */
const labelledCentre = 0.36;
const labelCentre = 0.81;
const labelHeight = 0.22;

/**
 * How far a thing's centre may go from its cell's. With two cells it stays in the outer third of the image, so that
 * "left" is true for those who think in thirds, too.
 */
const roomIn = (cell: number, numCells: number, extent: number): number =>
  Math.min(Math.max(0, cell * 0.96 - extent) / 2, numCells === 2 ? cell * 0.16 : cell);

/** The marks of a grid: tiles, things, labels. */
export const layOutGrid = (grid: Grid, aspect: number, shade: number): Mark[] => {
  const { rows, columns, tiles, things } = grid;
  const width = aspect / columns;
  const height = 1 / rows;
  const side = Math.min(width, height);
  const tileMarks = cellsOf(grid).flatMap(({ row, column }, at): Mark[] => {
    if (tiles === undefined) return [];
    const gap = (tileGap * side) / 2;
    const box = {
      x: column * width + gap,
      y: row * height + gap,
      width: width - 2 * gap,
      height: height - 2 * gap,
    };
    return [
      {
        type: "boxes",
        boxes: [box],
        colour: shadeColour(palette[tiles[at]], shade),
        radius: side * 0.05,
      },
    ];
  });
  const thingMark = (thing: PlacedThing): Mark => {
    const extent = thing.extent * side;
    const roomX = roomIn(width, columns, extent);
    const roomY = roomIn(height, rows, extent);
    const middle = thing.label === undefined ? 0.5 : labelledCentre;
    const x = (thing.column + 0.5) * width + thing.shift[0] * roomX;
    const y = (thing.row + middle) * height + thing.shift[1] * roomY;
    return markThing(thing, [x, y], extent, thing.isFlipped, shade);
  };
  const labelMarks = things.flatMap(({ row, column, label }): Mark[] => {
    if (label === undefined) return [];
    const text = String(label);
    const x = (column + 0.5) * width;
    const y = (row + labelCentre) * height;
    const plate = { width: side * 0.42, height: labelHeight * side };
    return [
      {
        type: "boxes",
        boxes: [{ x: x - plate.width / 2, y: y - plate.height / 2, ...plate }],
        colour: [255, 255, 255],
        radius: side * 0.04,
      },
      {
        type: "text",
        text,
        x,
        y,
        align: "centre",
        em: fitText(text, "bold", plate.width * 0.9, plate.height * 0.95),
        font: "bold",
        colour: [20, 20, 24],
      },
    ];
  });
  return [...tileMarks, ...things.map(thingMark), ...labelMarks];
};
