import { type FigureTable, isEqual, printed } from "./efficiency-figure.js";
import { compareEfficiency } from "./published-efficiency.js";

const tableText = ({ title, unit, about, figures }: FigureTable): string => {
  const rows = figures.map((figure) => {
    const mark = isEqual(figure) ? "equal" : (figure.note ?? "");
    return `| ${figure.what} | ${figure.published} | ${printed(figure)} | ${mark} |`;
  });
  return [
    `## ${title}`,
    "",
    about,
    "",
    `| | published, ${unit} | ours | |`,
    "|---|--:|--:|---|",
    ...rows,
  ].join("\n");
};

/** `docs/reproductions.md`: every efficiency figure of the papers beside ours, as Markdown. */
export const renderReproductions = (): string => {
  const tables = compareEfficiency();
  const figures = tables.flatMap((table) => table.figures);
  const equal = figures.filter(isEqual).length;
  const errors = figures.filter(({ note }) => note?.startsWith("error in")).length;
  return [
    "# Published efficiency figures, reproduced",
    "",
    "Written by `npm run reproductions`; a test fails when it is out of date. Every number is read off the graphs that",
    "would run, in the convention of the paper that printed it; no weights are needed. `saccade cost` gives the same",
    "numbers for any model, image and question.",
    "",
    `${equal} of ${figures.length} figures are equal to the last printed digit. The others say why not; ${errors} of them are errors in`,
    "a paper or in released code. Times are no operations: beside a published speed-up stands what the operations allow.",
    "",
    tables.map(tableText).join("\n\n"),
    "",
  ].join("\n");
};
