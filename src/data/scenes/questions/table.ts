/** Tables: what a cell holds, and whose value it is. */
import type { RandomStream } from "../random.js";
import type { DetailScene } from "../scene.js";
import { createFamily } from "./question.js";

const pickCell = ({ content: table }: DetailScene, random: RandomStream) => {
  if (table.type !== "table") return undefined;
  const row = random.integer(table.rows.length);
  const column = random.integer(table.columns.length);
  return {
    person: table.rows[row],
    day: table.columns[column],
    value: String(table.values[row][column]),
  };
};

export const tableCell = createFamily("table-cell", "fine", "detail", (scene, random) => {
  const cell = pickCell(scene, random);
  if (cell === undefined) return undefined;
  const { person, day, value } = cell;
  return {
    question: `What number does ${person} have on ${day}?`,
    answer: value,
    evidence: [person, day, value],
  };
});

export const tableRow = createFamily("table-row", "fine", "detail", (scene, random) => {
  const cell = pickCell(scene, random);
  if (cell === undefined) return undefined;
  const { person, day, value } = cell;
  return {
    question: `Who has ${value} on ${day}?`,
    answer: person,
    evidence: [person, day, value],
  };
});
