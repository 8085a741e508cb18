/** The study of AVG-LLaVA's choices: what a router, a fixed granularity and chance make of the same questions. */
import { finenesses } from "../data/scenes/questions/question.js";
import type { SceneOutcome } from "./evaluate-scenes.node.js";
import { type Proportion, proportion } from "./proportion.js";

/** What was asked of a model, and how every question went. */
export type StudyRun = {
  /** Who chose: a router's name, or a granularity. */
  readonly name: string;
  readonly outcomes: readonly Pick<
    SceneOutcome,
    "scene" | "question" | "family" | "fineness" | "isRight" | "visionTokens" | "granularity"
  >[];
};

/** One row of the table. */
export type StudyRow = Proportion & {
  readonly name: string;
  /** Mean over the questions. */
  readonly visionTokens: number;
};

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

export const rowOf = ({ name, outcomes }: StudyRun): StudyRow => ({
  name,
  ...proportion(outcomes.filter(({ isRight }) => isRight).length, outcomes.length),
  visionTokens: mean(outcomes.map(({ visionTokens }) => visionTokens)),
});

/** Throws `RangeError` unless all runs asked the same questions in the same order. */
const checkAlike = (runs: readonly StudyRun[]): void => {
  const keyOf = (run: StudyRun): string =>
    run.outcomes.map(({ scene, question }) => `${scene} ${question}`).join("\n");
  const [first, ...others] = runs;
  const other = others.find((run) => keyOf(run) !== keyOf(first));
  if (other === undefined) return;
  throw new RangeError(
    `avg-study: all runs must ask the same questions, got others in ${other.name} than in ${first.name}; evaluate them again with equal options`,
  );
};

/**
 * A granularity drawn evenly for each question: the mean over the granularities is what it is expected to reach, and its
 * interval is that of as many questions.
 */
export const evenChoice = (fixed: readonly StudyRun[]): StudyRow => {
  checkAlike(fixed);
  const rows = fixed.map(rowOf);
  const right = mean(rows.map((row) => row.right));
  return {
    name: "drawn evenly",
    ...proportion(right, rows[0].count),
    visionTokens: mean(rows.map(({ visionTokens }) => visionTokens)),
  };
};

/** The coarsest granularity that answers right, else the coarsest: what no router can do better than. */
export const oracleChoice = (fixed: readonly StudyRun[]): StudyRow => {
  checkAlike(fixed);
  const outcomes = fixed[0].outcomes.map((coarsest, at) => {
    const right = fixed.map((run) => run.outcomes[at]).find(({ isRight }) => isRight);
    return right ?? coarsest;
  });
  return rowOf({ name: "oracle: the coarsest that is right", outcomes });
};

/** Shares of the granularities that a router chose, by family; families from coarsest to finest mean choice. */
export type FamilyChoices = {
  readonly family: string;
  readonly fineness: string;
  readonly count: number;
  /** By granularity; they add up to 1. */
  readonly shares: ReadonlyMap<number, number>;
  /** Mean of the tokens of a view. */
  readonly meanGranularity: number;
};

export const choicesByFamily = ({ outcomes }: StudyRun): FamilyChoices[] => {
  const families = new Map<string, StudyRun["outcomes"][number][]>();
  for (const outcome of outcomes) {
    const group = families.get(outcome.family);
    if (group) group.push(outcome);
    else families.set(outcome.family, [outcome]);
  }
  return [...families]
    .map(([family, group]) => {
      const chosen = group.flatMap(({ granularity }) => granularity ?? []);
      const shares = new Map<number, number>();
      for (const granularity of [...new Set(chosen)].sort((a, b) => a - b)) {
        const times = chosen.filter((other) => other === granularity).length;
        shares.set(granularity, times / chosen.length);
      }
      const { fineness } = group[0];
      return { family, fineness, count: group.length, shares, meanGranularity: mean(chosen) };
    })
    .sort((a, b) => a.meanGranularity - b.meanGranularity);
};

/** A row for each fineness of question that was asked, from coarse to fine. */
export const rowsByFineness = ({ outcomes }: Pick<StudyRun, "outcomes">): StudyRow[] =>
  finenesses.flatMap((name) => {
    const asked = outcomes.filter(({ fineness }) => fineness === name);
    return asked.length > 0 ? [rowOf({ name, outcomes: asked })] : [];
  });

const percent = (share: number): string => (100 * share).toFixed(1);

const tableRow = ({ name, right, count, share, low, high, visionTokens }: StudyRow): string =>
  `| ${[
    name,
    `${Number.isInteger(right) ? right : right.toFixed(1)}/${count}`,
    percent(share),
    `${percent(low)} to ${percent(high)}`,
    visionTokens.toFixed(1),
  ].join(" | ")} |`;

const tableOf = (first: string, rows: readonly StudyRow[]): string[] => [
  `| ${first} | right | % | 95 % interval | vision tokens |`,
  "|---|--:|--:|---|--:|",
  ...rows.map(tableRow),
];

/** What the router takes for questions of each fineness, as Markdown. */
export const renderFineness = (run: Pick<StudyRun, "outcomes">): string =>
  tableOf("questions", rowsByFineness(run)).join("\n");

/** The study's table as Markdown. `fixed` from coarsest to finest; `routers[0]` is the one that is meant to be used. */
export const renderAvgStudy = (
  fixed: readonly StudyRun[],
  routers: readonly StudyRun[],
): string => {
  checkAlike([...fixed, ...routers]);
  const rows = [...routers.map(rowOf), ...fixed.map(rowOf), evenChoice(fixed), oracleChoice(fixed)];
  const finest = rowOf(fixed[fixed.length - 1]);
  const [routed] = rows;
  const points = 100 * (routed.share - finest.share);
  return [
    ...tableOf("who chooses", rows),
    "",
    `Against always the finest, the router is ${points >= 0 ? "+" : ""}${points.toFixed(1)} points with ${(routed.visionTokens / finest.visionTokens).toFixed(2)} of the tokens.`,
  ].join("\n");
};
