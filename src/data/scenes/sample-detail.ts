/** Draws scenes to read: labelled things, cards, signs, receipts, tables and bar charts. */
import { cellsOf } from "./grid.js";
import { objectClasses } from "./object-classes.js";
import { type ColourName, colourNames, shapeColours } from "./palette.js";
import type { RandomStream } from "./random.js";
import { drawObjects, type GridShape, placeThings } from "./sample-grid.js";
import {
  type Cards,
  type Chart,
  type DetailContent,
  directions,
  type Labels,
  type Panel,
  type Receipt,
  type Table,
} from "./scene.js";
import { cardWords, codeDigits, codeLetters, people, placeWords, weekdays } from "./words.js";

export const detailTypes = ["labels", "cards", "signs", "receipt", "table", "chart"] as const;
export type DetailType = (typeof detailTypes)[number];

const sampleLabels = (random: RandomStream, shape: GridShape): Labels => {
  const side = shape === "2x2" ? 2 : 3;
  const size = { rows: side, columns: side };
  const count = 2 + random.integer(side * side - 1);
  const names = drawObjects(random, count).map((name) => ({ name }));
  const cells = random.draw(cellsOf(size), count);
  const extents = names.map(() => random.between(0.5, 0.62));
  const labels = random.draw(
    Array.from({ length: 90 }, (_, at) => at + 10),
    count,
  );
  const things = placeThings(random, names, cells, extents).map((thing, at) => ({
    ...thing,
    shift: [thing.shift[0] * 0.5, 0] as const,
    label: labels[at],
  }));
  return { type: "labels", grid: { ...size, things } };
};

const drawNumber = (random: RandomStream): string => {
  const numDigits = 2 + random.integer(4);
  const first = 1 + random.integer(9);
  const rest = Array.from({ length: numDigits - 1 }, () => random.integer(10));
  return [first, ...rest].join("");
};

/** Letter, digit, letter, digit: the change of kind tells every sign from its look-alikes. */
const drawCode = (random: RandomStream): string =>
  Array.from({ length: 4 }, (_, at) => random.pick(at % 2 === 0 ? codeLetters : codeDigits)).join(
    "",
  );

/** Rows and columns of one to four panels. */
const panelGrids = [
  [1, 1],
  [2, 1],
  [3, 1],
  [2, 2],
] as const;
export const mostPanels = panelGrids.length;

const samplePanels = (random: RandomStream, type: Cards["type"], wanted?: number): Cards => {
  const drawn = 1 + random.integer(mostPanels);
  const count = wanted ?? drawn;
  const [rows, columns] = panelGrids[count - 1];
  const colours = random.draw(type === "signs" ? shapeColours : colourNames, count);
  const words: string[] = random.draw<string>(
    type === "signs" ? placeWords : [...placeWords, ...cardWords],
    count,
  );
  const arrows = random.draw(directions, count);
  const texts = new Set<string>();
  const panels = cellsOf({ rows, columns }).map((cell, at): Panel => {
    const content = type === "signs" ? "word" : random.pick(["number", "word", "code"] as const);
    let text = words[at];
    while (content !== "word" && (text === words[at] || texts.has(text)))
      text = content === "number" ? drawNumber(random) : drawCode(random);
    texts.add(text);
    return {
      ...cell,
      colour: colours[at],
      text,
      content,
      letterCase: random.pick(["lower", "upper", "title"] as const),
      textScale: type === "signs" ? random.between(0.3, 0.5) : random.between(0.2, 0.5),
      ...(type === "signs" && { arrow: arrows[at] }),
      width: random.between(0.8, 0.92),
      height: random.between(0.66, 0.84),
    };
  });
  return { type, rows, columns, panels };
};

const goods: readonly string[] = objectClasses
  .filter(({ category }) => ["fruit", "vegetable", "food"].includes(category))
  .map(({ name }) => name);

const sampleReceipt = (random: RandomStream): Receipt => {
  const names = random.draw(goods, 2 + random.integer(4));
  const prices = new Set<number>();
  while (prices.size < names.length) prices.add(50 + random.integer(180) * 5);
  const cents = [...prices];
  return {
    type: "receipt",
    shop: random.pick(placeWords),
    items: names.map((name, at) => ({ name, cents: cents[at] })),
    scale: random.between(0.7, 0.94),
  };
};

/** `count` different numbers of two digits. */
const drawValues = (random: RandomStream, count: number): number[] =>
  random.draw(
    Array.from({ length: 90 }, (_, at) => at + 10),
    count,
  );

const sampleTable = (random: RandomStream): Table => {
  const rows = random.draw(people, 2 + random.integer(3));
  const columns = weekdays.filter((_, at) => at < 4 || random.chance(0.5));
  const chosen = random.draw(columns, 1 + random.integer(3));
  const byColumn = chosen.map(() => drawValues(random, rows.length));
  return {
    type: "table",
    rows,
    columns: weekdays.filter((day) => chosen.includes(day)),
    values: rows.map((_, row) => byColumn.map((column) => column[row])),
    scale: random.between(0.72, 0.94),
  };
};

const chartColours: readonly ColourName[] = shapeColours.filter((name) => name !== "black");

const sampleChart = (random: RandomStream): Chart => {
  const count = 3 + random.integer(3);
  const names = random.draw(
    random.chance(0.5) ? people : goods.filter((name) => name.length < 7),
    count,
  );
  const values = random.draw(
    Array.from({ length: 10 }, (_, at) => at + 1),
    count,
  );
  const colours = random.draw(chartColours, count);
  return {
    type: "chart",
    bars: names.map((name, at) => ({ name, colour: colours[at], value: values[at] })),
    hasValues: random.chance(0.5),
    scale: random.between(0.8, 0.94),
  };
};

/** Draws the content of a detail scene, of one type if it is given, and of so many cards or signs. */
export const sampleDetail = (
  random: RandomStream,
  shape: GridShape,
  type: DetailType = random.pick(detailTypes),
  panels?: number,
): DetailContent => {
  switch (type) {
    case "labels":
      return sampleLabels(random, shape);
    case "cards":
    case "signs":
      return samplePanels(random, type, panels);
    case "receipt":
      return sampleReceipt(random);
    case "table":
      return sampleTable(random);
    case "chart":
      return sampleChart(random);
  }
};
