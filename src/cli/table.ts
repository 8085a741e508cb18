import type { Colors } from "./terminal.js";

/** Colour codes take no room. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes start with one
const colorCode = /\x1b\[[0-9;]*m/g;

const widthOf = (text: string): number => text.replace(colorCode, "").length;

const isNumeric = (text: string): boolean => /^[\d-]/.test(text.replace(colorCode, ""));

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
