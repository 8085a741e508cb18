/**
 * Scenes in words: every fact once, in random order, things with their places in both directions ("the top left shows
 * a cat", "a cat is at the top left"). Dense, so that a model that learns to write them has looked at everything.
 */
import { cellsOf, placeName, thingAt } from "./grid.js";
import { totalOf } from "./layout-paper.js";
import { withArticle } from "./object-classes.js";
import { eventOf } from "./questions/clip-change.js";
import { directionOf } from "./questions/clip-direction.js";
import { size } from "./questions/size.js";
import { createRandomStream, type RandomStream } from "./random.js";
import type { ClipScene, DetailContent, Scene, SimpleScene, Thing } from "./scene.js";
import { formatCents } from "./words.js";

const sentence = (text: string): string => `${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`;

const nameThing = ({ name, colour }: Thing): string =>
  withArticle(colour === undefined ? name : `${colour} ${name}`);

/** A sentence for each cell, row by row; the place first, or after the thing where `isThingFirst` says so. */
const describeCells = ({ grid }: SimpleScene, isThingFirst: () => boolean): string[] =>
  cellsOf(grid).map((cell, at) => {
    const place = placeName(grid, cell);
    const thing = thingAt(grid, cell);
    const tile = grid.tiles?.[at];
    if (thing === undefined)
      return tile ? `the ${place} is an empty ${tile} tile` : `the ${place} is empty`;
    const what = nameThing(thing) + (tile ? ` on ${withArticle(tile)} tile` : "");
    return isThingFirst() ? `${what} is at the ${place}` : `the ${place} shows ${what}`;
  });

const describeSimple = (scene: SimpleScene, random: RandomStream): string[] => {
  const { background } = scene;
  const cells = describeCells(scene, () => !random.chance(0.5));
  const extreme = size.ask(scene, random);
  return [
    ...cells,
    ...(background.name ? [`the background is ${background.name}`] : []),
    // "Which object is the largest?" as a statement.
    ...(extreme
      ? [`the ${extreme.answer} is ${extreme.question.slice("Which object is ".length, -1)}`]
      : []),
  ];
};

const describeDetail = (content: DetailContent): string[] => {
  switch (content.type) {
    case "labels":
      return content.grid.things.map(
        (thing) =>
          `the ${thing.name} at the ${placeName(content.grid, thing)} has the number ${thing.label}`,
      );
    case "cards":
      return content.panels.map(({ colour, text }) => `the ${colour} card says ${text}`);
    case "signs":
      return content.panels.map(
        ({ colour, text, arrow }) => `the ${colour} sign says ${text} and points ${arrow}`,
      );
    case "receipt":
      return [
        `the receipt is from the ${content.shop}`,
        ...content.items.map(({ name, cents }) => `the ${name} costs ${formatCents(cents)}`),
        `the total is ${formatCents(totalOf(content))}`,
      ];
    case "table":
      return content.rows.flatMap((person, row) =>
        content.columns.map(
          (day, column) => `${person} has ${content.values[row][column]} on ${day}`,
        ),
      );
    case "chart":
      return content.bars.map(
        ({ name, colour, value }) => `the ${name} bar is ${colour} and has the value ${value}`,
      );
  }
};

/** Sentences about a clip; those that tell an order are not to be shuffled. */
const describeClip = ({ story, actors, numFrames }: ClipScene, random: RandomStream): string[] => {
  if (story === "appear" || story === "parade") {
    return actors.map((actor, at) => `${at === 0 ? "first" : "then"} ${nameThing(actor)} is shown`);
  }
  if (story === "move") {
    return random.shuffle(actors.map((actor) => `the ${actor.name} moves ${directionOf(actor)}`));
  }
  return random.shuffle(
    actors.map((actor) => {
      const event = eventOf(actor, numFrames);
      return event ? `the ${actor.name} ${event}` : `nothing happens to the ${actor.name}`;
    }),
  );
};

/**
 * A description of all that `questionsFor` asks about. `variant` gives another order and other words.
 * Throws OptionsError for a variant that is no whole number.
 */
export const describeScene = (scene: Scene, variant = 0): string => {
  const random = createRandomStream(scene.key, "description", variant);
  let facts: string[];
  if (scene.kind === "simple") facts = random.shuffle(describeSimple(scene, random));
  else if (scene.kind === "detail") facts = random.shuffle(describeDetail(scene.content));
  else facts = describeClip(scene, random);
  return facts.map(sentence).join(" ");
};

/** How `listCells` goes through a scene. */
export type CellOrder = "cells" | "places" | "things";

/** Each thing with its place right behind its name: the shortest way from a word to where it is. */
const locateThings = ({ grid }: SimpleScene): string[] =>
  grid.things.map((thing) => `${nameThing(thing)} ${placeName(grid, thing)}`);

/** What is printed, in reading order, each right behind what it is asked by: "the red 4821". */
const listPrint = (content: DetailContent): string[] => {
  switch (content.type) {
    case "labels":
      return content.grid.things.map(({ name, label }) => `the ${name} ${label}`);
    case "cards":
      return content.panels.map(({ colour, text }) => `the ${colour} ${text}`);
    case "signs":
      return content.panels.map(({ colour, text, arrow }) => `the ${colour} ${text} ${arrow}`);
    case "receipt":
      return [
        `the ${content.shop}`,
        ...content.items.map(({ name, cents }) => `the ${name} ${formatCents(cents)}`),
        `the total ${formatCents(totalOf(content))}`,
      ];
    case "table":
      return content.rows.flatMap((person, row) =>
        content.columns.map((day, column) => `${person} ${day} ${content.values[row][column]}`),
      );
    case "chart":
      return content.bars.map(({ name, colour, value }) => `the ${name} ${colour} ${value}`);
  }
};

const listOf = (scene: Scene, order: CellOrder): string[] | undefined => {
  if (scene.kind === "clip") return undefined;
  if (scene.kind === "detail") return order === "places" ? undefined : listPrint(scene.content);
  return order === "things" ? locateThings(scene) : describeCells(scene, () => false);
};

/**
 * What is in a scene, always in the same words, so that all that a model cannot yet foretell is what it sees.
 * Of a grid: `cells`, what stands in each, row by row; `places`, the same in random order, so that the cell must be found
 * by the place just named; `things`, what is there and right after it where, so that the place must be found by the thing.
 * Of print: `cells` in reading order, `things` in random order, so that it must be found by what it belongs to.
 * Undefined for clips, and for places of print.
 */
export const listCells = (scene: Scene, order: CellOrder, variant = 0): string | undefined => {
  const told = listOf(scene, order);
  const ordered =
    order === "cells" || told === undefined
      ? told
      : createRandomStream(scene.key, "description", variant).shuffle(told);
  return ordered?.map(sentence).join(" ");
};
