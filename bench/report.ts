/** What every benchmark prints: a table for people, then one line of JSON for machines. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { quietShare } from "../src/measure/processors.node.js";

export type Figure = {
  readonly name: string;
  readonly value: number;
  readonly unit:
    | "x"
    | "%"
    | "ms"
    | "s"
    | "1/s"
    | "count"
    | "GFLOP/s"
    | "GFLOP"
    | "GB/s"
    | "MB"
    | "M";
  /** What the figure is held to; figures without one are there to be read. */
  readonly target?: { readonly atLeast: number } | { readonly below: number };
};

export type Report = {
  readonly benchmark: string;
  /** What was run, in one sentence. */
  readonly about: string;
  /** Sizes, threads, provider, rounds. */
  readonly setting: Readonly<Record<string, string | number>>;
  readonly figures: readonly Figure[];
  /** Largest share of the processors that other processes had while something was measured. */
  readonly shareOfOthers?: number;
  /** What could not be measured here, and why. */
  readonly skipped?: readonly string[];
};

export const isHeld = ({ value, target }: Figure): boolean =>
  target === undefined || ("atLeast" in target ? value >= target.atLeast : value < target.below);

const digits = (value: number): string =>
  Number.isInteger(value) || Math.abs(value) >= 100
    ? value.toFixed(0)
    : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);

const formatFigure = (figure: Figure): readonly string[] => {
  const { name, value, unit, target } = figure;
  if (target === undefined) return [name, digits(value), unit, "", ""];
  const bound = "atLeast" in target ? `>= ${target.atLeast}` : `< ${target.below}`;
  return [name, digits(value), unit, bound, isHeld(figure) ? "held" : "MISSED"];
};

const formatTable = (rows: readonly (readonly string[])[]): string => {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 1 || column === 3 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
      )
      .join("  ")
      .trimEnd();
  const [head, ...body] = rows;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
};

const runtimeVersion = (): string => {
  const manifest = new URL("../node_modules/onnxruntime-node/package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
};

/** Prints a report. Nothing else goes to the standard output of a benchmark. */
export const printReport = (report: Report): void => {
  const { benchmark, about, setting, figures, shareOfOthers = 0, skipped = [] } = report;
  const machine = {
    processor: cpus()[0]?.model ?? "unknown",
    processors: availableParallelism(),
    node: process.versions.node,
    onnxruntime: runtimeVersion(),
    date: new Date().toISOString().slice(0, 10),
  };
  const described = Object.entries(setting).map(([key, value]) => `${key} ${value}`);
  console.log(`\n${benchmark}: ${about}`);
  console.log(`${described.join(", ")}\n`);
  console.log(
    formatTable([["figure", "value", "unit", "target", ""], ...figures.map(formatFigure)]),
  );
  if (shareOfOthers > quietShare) {
    const percent = (100 * shareOfOthers).toFixed(0);
    console.log(`other processes had up to ${percent} % of the processors: do not write this down`);
  }
  for (const reason of skipped) console.log(`not measured: ${reason}`);
  const kept = figures.map((figure) => ({ ...figure, held: isHeld(figure) }));
  console.log(
    `\n${JSON.stringify({ benchmark, machine, setting, figures: kept, shareOfOthers, skipped })}`,
  );
};

/** Progress, for whoever waits; not part of the report. */
export const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};
