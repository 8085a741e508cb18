import { stripVTControlCharacters } from "node:util";
import type { Colors } from "./terminal.js";

/** Colour codes take no room. */
const widthOf = (text: string): number => stripVTControlCharacters(text).length;

const isNumeric = (text: string): boolean => /^[\d-]/.test(stripVTControlCharacters(text));

/** Rows under a header, columns as wide as needed; columns of numbers are set right. */
export const formatTable = (
  header: readonly string[],
  rows: readonly (readonly string[])[],
  colors: Colors,
): string => {
  const widths = header.map((title, column) =>
    Math.max(widthOf(title), ...rows.map((row) => widthOf(row[column]))),
  );
  const isRight = header.map(
    (_, column) => rows.length > 0 && rows.every((row) => isNumeric(row[column])),
  );
  const lineOf = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => {
        const space = " ".repeat(widths[column] - widthOf(cell));
        return isRight[column] ? space + cell : cell + space;
      })
      .join("  ")
      .trimEnd();
  return [colors.dim(lineOf(header)), ...rows.map(lineOf)].join("\n");
};
