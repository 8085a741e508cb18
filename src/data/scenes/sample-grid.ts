/** Draws grids of things. Classes are drawn evenly, so that no name makes "yes" likelier than another. */
import { type Cell, cellsOf } from "./grid.js";
import { findObjectClass, mayCountAs, objectClasses, shapeNames } from "./object-classes.js";
import { type ColourName, colourNames, shapeColours } from "./palette.js";
import type { RandomStream } from "./random.js";
import type { Grid, PlacedThing, Theme, Thing } from "./scene.js";

export type GridShape = "2x2" | "3x3";

/** Tile colours; black would swallow what is dark (the cat, the spider). */
export const tileColours: readonly ColourName[] = colourNames.filter((name) => name !== "black");

const names = objectClasses.map(({ name }) => name);

/** `count` different objects; `fits` may exclude some. */
export const drawObjects = (
  random: RandomStream,
  count: number,
  fits: (name: string) => boolean = () => true,
): string[] => {
  const drawn: string[] = [];
  while (drawn.length < count) {
    const name = random.pick(names);
    if (!drawn.includes(name) && fits(name)) drawn.push(name);
  }
  return drawn;
};

/** Ordinary extents; `sizes` scenes go below and keep a gap in between. */
const drawExtent = (random: RandomStream): number => random.between(0.68, 0.9);
const smallExtents = [0.34, 0.44] as const;
const largeExtents = [0.8, 0.92] as const;

const drawBetween = (random: RandomStream, [low, high]: readonly [number, number]): number =>
  random.between(low, high);

/** Splits `total` into `parts` counts of at least 1, as different as they come. */
const splitCount = (random: RandomStream, total: number, parts: number): number[] => {
  const counts = Array.from({ length: parts }, () => 1);
  for (let left = total - parts; left > 0; left--) counts[random.integer(parts)] += 1;
  return counts;
};

const repeat = (name: string, count: number): Thing[] =>
  Array.from({ length: count }, () => ({ name }));

/** The things of a theme, in the order of nothing in particular. */
const drawThings = (random: RandomStream, theme: Theme, numCells: number): Thing[] => {
  switch (theme) {
    case "single":
      return [{ name: random.pick(names) }];
    case "mixed":
    case "sizes": {
      const fewest = theme === "sizes" ? 3 : 2;
      const count = fewest + random.integer(numCells - fewest + 1);
      return drawObjects(random, count).map((name) => ({ name }));
    }
    case "repeats": {
      const numNames = numCells === 4 ? 2 : 2 + random.integer(3);
      const total = numNames + 1 + random.integer(numCells - numNames);
      const counts = splitCount(random, total, numNames);
      return drawObjects(random, numNames).flatMap((name, at) => repeat(name, counts[at]));
    }
    case "odd": {
      const [many, one] = drawObjects(random, 2);
      return [...repeat(many, 2 + random.integer(numCells - 2)), { name: one }];
    }
    case "category": {
      // The class decides on the category, not the other way round: small categories would be seen too often.
      const [one] = drawObjects(random, 1, (name) => findObjectClass(name)?.category !== "other");
      const category = findObjectClass(one)?.category ?? "other";
      const others = drawObjects(random, 1 + random.integer(numCells - 1), (name) => {
        const other = findObjectClass(name)?.category ?? "other";
        return !mayCountAs(other, category) && !mayCountAs(category, other);
      });
      return [{ name: one }, ...others.map((name) => ({ name }))];
    }
    case "shapes": {
      const count = 2 + random.integer(numCells - 1);
      return Array.from({ length: count }, () => ({
        name: random.pick(shapeNames),
        colour: random.pick(shapeColours),
      }));
    }
  }
};

const drawExtents = (random: RandomStream, theme: Theme, count: number): number[] => {
  if (theme !== "sizes") return Array.from({ length: count }, () => drawExtent(random));
  const [one, others] = random.chance(0.5)
    ? [largeExtents, smallExtents]
    : [smallExtents, largeExtents];
  return Array.from({ length: count }, (_, at) => drawBetween(random, at === 0 ? one : others));
};

/** Puts things into cells, each with its own extent and shift. */
export const placeThings = (
  random: RandomStream,
  things: readonly Thing[],
  cells: readonly Cell[],
  extents: readonly number[],
): PlacedThing[] =>
  things
    .map((thing, at) => ({
      ...thing,
      ...cells[at],
      extent: extents[at],
      shift: [random.between(-1, 1), random.between(-1, 1)] as const,
      isFlipped: thing.colour === undefined && random.chance(0.5),
    }))
    .sort((first, second) => first.row - second.row || first.column - second.column);

/** Draws the grid of a theme. */
export const sampleGrid = (
  random: RandomStream,
  theme: Theme,
  shape: GridShape,
  hasTiles: boolean,
): Grid => {
  const side = shape === "2x2" ? 2 : 3;
  const size = { rows: side, columns: side };
  const drawn = drawThings(random, theme, side * side);
  const extents = drawExtents(random, theme, drawn.length);
  const cells = random.draw(cellsOf(size), drawn.length);
  const things = placeThings(random, drawn, cells, extents);
  if (!hasTiles) return { ...size, things };
  const tiles = cellsOf(size).map(({ row, column }) => {
    const thing = things.find((other) => other.row === row && other.column === column);
    const own = thing && findObjectClass(thing.name)?.colour;
    return random.pick(tileColours.filter((colour) => colour !== own));
  });
  return { ...size, tiles, things };
};
