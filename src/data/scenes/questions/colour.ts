/** Colour and thing, in both directions: of which colour is X, and what has colour Y. */
import { cellsOf, thingAt, uniqueThings } from "../grid.js";
import { areShapes, createFamily } from "./question.js";

export const colour = createFamily("colour", "medium", "simple", ({ grid }, random) => {
  const things = uniqueThings(grid.things);
  if (things.length === 0) return undefined;
  const thing = random.pick(things);
  if (thing.colour !== undefined)
    return { question: `What colour is the ${thing.name}?`, answer: thing.colour };
  if (grid.tiles === undefined) return undefined;
  const tile = grid.tiles[thing.row * grid.columns + thing.column];
  return { question: `What colour is behind the ${thing.name}?`, answer: tile };
});

export const colourThing = createFamily("colour-thing", "medium", "simple", ({ grid }, random) => {
  if (areShapes(grid.things)) {
    const unique = grid.things.filter(
      ({ colour: own }) => grid.things.filter((other) => other.colour === own).length === 1,
    );
    if (unique.length === 0) return undefined;
    const thing = random.pick(unique);
    return { question: `Which shape is ${thing.colour}?`, answer: thing.name };
  }
  const { tiles } = grid;
  if (tiles === undefined) return undefined;
  const cells = cellsOf(grid).filter(
    (cell, at) =>
      thingAt(grid, cell) !== undefined &&
      tiles.filter((other) => other === tiles[at]).length === 1,
  );
  if (cells.length === 0) return undefined;
  const cell = random.pick(cells);
  const tile = tiles[cell.row * grid.columns + cell.column];
  const answer = thingAt(grid, cell)?.name;
  return answer === undefined ? undefined : { question: `What is on the ${tile} tile?`, answer };
});
