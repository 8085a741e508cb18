/** The tables of the study of LLaVA-UHD v4, as Markdown. */
import type { CostReport } from "../cost/cost-report.js";
import { type Proportion, proportion } from "./proportion.js";
import type { StudyArm, StudyTable } from "./uhd-study.js";

/** One trained and evaluated arm. */
export type StudyResult = {
  readonly arm: Pick<StudyArm, "name" | "tables" | "paper">;
  readonly seed: number;
  /** Of the questions that were asked. */
  readonly total: Pick<Proportion, "right" | "count">;
  readonly visionTokens: number;
  readonly cost: Pick<CostReport, "flops" | "visionTokens">;
  /** Mean over the last tenth of the steps. */
  readonly loss: number;
};

/** Encoder and connector, in 10^6 operations. */
const encoderMegaflops = ({ flops }: StudyResult["cost"]): number =>
  (flops.vision + flops.compression + flops.projector) / 1e6;

const percent = (share: number): string => (100 * share).toFixed(1);

const rowOf = ({ arm, seed, total, visionTokens, cost, loss }: StudyResult): string => {
  const { right, count, share, low, high } = proportion(total.right, total.count);
  const cells = [
    arm.name,
    String(seed),
    `${right}/${count}`,
    percent(share),
    `${percent(low)} to ${percent(high)}`,
    loss.toFixed(3),
    visionTokens.toFixed(1),
    encoderMegaflops(cost).toFixed(1),
    arm.paper?.toFixed(1) ?? "",
  ];
  return `| ${cells.join(" | ")} |`;
};

/** All seeds of an arm as one share. */
const pool = (results: readonly StudyResult[]): Proportion =>
  proportion(
    results.reduce((sum, { total }) => sum + total.right, 0),
    results.reduce((sum, { total }) => sum + total.count, 0),
  );

export type Ordering = {
  /** Pairs of arms of one table that the paper tells apart. */
  readonly pairs: number;
  /** Ours in the same order, or the opposite one, with intervals that do not meet. */
  readonly same: number;
  readonly opposite: number;
};

/** How the arms with an average in the paper are ordered here, two by two; seeds are pooled. */
export const compareOrdering = (results: readonly StudyResult[]): Ordering => {
  const names = new Set(results.map(({ arm }) => arm.name));
  const arms = [...names].flatMap((name) => {
    const own = results.filter(({ arm }) => arm.name === name);
    const [{ arm }] = own;
    return arm.paper === undefined
      ? []
      : [{ paper: arm.paper, tables: arm.tables, ours: pool(own) }];
  });
  const ordering = { pairs: 0, same: 0, opposite: 0 };
  for (const [index, one] of arms.entries()) {
    for (const other of arms.slice(index + 1)) {
      const isCompared = one.tables.some((table) => other.tables.includes(table));
      if (!isCompared || one.paper === other.paper) continue;
      const [better, worse] = one.paper > other.paper ? [one, other] : [other, one];
      ordering.pairs += 1;
      if (better.ours.low > worse.ours.high) ordering.same += 1;
      if (worse.ours.low > better.ours.high) ordering.opposite += 1;
    }
  }
  return ordering;
};

const headings: Readonly<Record<StudyTable, string>> = {
  encoding: "Slices or the whole image (table 1)",
  variant: "The compressor's variants (table 4)",
  depth: "Depth of insertion (table 5)",
};

const header = [
  "| arm | seed | right | % | 95 % interval | loss | vision tokens | encoder MFLOP | paper, average |",
  "|---|--:|--:|--:|---|--:|--:|--:|--:|",
];

/** What was trained, for the text above the tables. */
export type StudySetting = {
  readonly steps: number;
  readonly questions: number;
  readonly layer: number;
};

const tables: readonly StudyTable[] = ["encoding", "variant", "depth"];

/** Tables and how far they agree with the paper's order. */
export const renderStudy = (
  results: readonly StudyResult[],
  { steps, questions, layer }: StudySetting,
): string => {
  const written = tables.flatMap((table) => {
    const rows = results.filter(({ arm }) => arm.tables.includes(table));
    return rows.length === 0
      ? []
      : ["", `### ${headings[table]}`, "", ...header, ...rows.map(rowOf)];
  });
  const { pairs, same, opposite } = compareOrdering(results);
  return [
    `${steps} steps from the baseline for every arm, ${questions} questions about test scenes of small print each, the`,
    `variants' compressor after layer ${layer} (from 0). Intervals are Wilson's, of one seed's questions; operations are of one`,
    "image from pixels to the language model, 2 per multiply-add. Loss: mean over the last tenth of the steps.",
    ...written,
    "",
    `Of ${pairs} pairs of arms that the paper tells apart, ${same} are in its order here and ${opposite} in the opposite one with`,
    `intervals that do not meet; for ${pairs - same - opposite} the questions do not decide.`,
  ].join("\n");
};
