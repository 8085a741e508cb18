/** What stands where in a grid, and how places are called. */
import type { Grid, PlacedThing } from "./scene.js";

export type Cell = { readonly row: number; readonly column: number };

/** Cells row by row. */
export const cellsOf = ({ rows, columns }: Pick<Grid, "rows" | "columns">): Cell[] =>
  Array.from({ length: rows * columns }, (_, at) => ({
    row: Math.floor(at / columns),
    column: at % columns,
  }));

export const thingAt = (grid: Grid, { row, column }: Cell): PlacedThing | undefined =>
  grid.things.find((thing) => thing.row === row && thing.column === column);

/** How often each name occurs. */
export const countNames = (things: readonly { readonly name: string }[]): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const { name } of things) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
};

/** Things whose name occurs once, so that "the cat" is one. */
export const uniqueThings = <T extends { readonly name: string }>(things: readonly T[]): T[] => {
  const counts = countNames(things);
  return things.filter(({ name }) => counts.get(name) === 1);
};

const verticalWords = (rows: number): readonly string[] =>
  rows === 2 ? ["top", "bottom"] : ["top", "middle", "bottom"];
/** What columns are called, the left one first. */
export const horizontalWords = (columns: number): readonly string[] =>
  columns === 2 ? ["left", "right"] : ["left", "centre", "right"];

/** "top left", "middle right", "centre": the place of a cell in a grid of two or three rows and columns. */
export const placeName = (
  { rows, columns }: Pick<Grid, "rows" | "columns">,
  { row, column }: Cell,
): string => {
  const vertical = verticalWords(rows)[row];
  const horizontal = horizontalWords(columns)[column];
  return vertical === "middle" && horizontal === "centre" ? "centre" : `${vertical} ${horizontal}`;
};

/** Steps to the four neighbours, by the words of the questions. */
export const neighbourSteps = {
  "left of": [0, -1],
  "right of": [0, 1],
  above: [-1, 0],
  below: [1, 0],
} as const;
export type Relation = keyof typeof neighbourSteps;
export const relations: readonly Relation[] = ["left of", "right of", "above", "below"];
