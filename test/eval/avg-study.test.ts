import { describe, expect, test } from "vitest";
import {
  choicesByFamily,
  evenChoice,
  oracleChoice,
  renderAvgStudy,
  renderFineness,
  rowOf,
  rowsByFineness,
  type StudyRun,
} from "../../src/eval/avg-study.js";
import { choiceChart } from "../../src/eval/choice-chart.js";

const families = ["background", "place", "place", "count"];
/** A run over four questions; `right` and `granularities` by question. */
const run = (
  name: string,
  right: readonly number[],
  granularities: readonly number[],
): StudyRun => ({
  name,
  outcomes: families.map((family, at) => ({
    scene: `scene-${at}`,
    question: `${family}?`,
    family,
    fineness: family === "background" ? "coarse" : "medium",
    isRight: right[at] === 1,
    visionTokens: granularities[at],
    granularity: granularities[at],
  })),
});
const coarse = run("always 1", [1, 0, 0, 0], [1, 1, 1, 1]);
const middle = run("always 9", [1, 1, 0, 0], [9, 9, 9, 9]);
const fine = run("always 36", [1, 1, 1, 0], [36, 36, 36, 36]);
const router = run("the router", [1, 1, 1, 0], [1, 9, 36, 36]);
const fixed = [coarse, middle, fine];

describe("a study of choices", () => {
  test("counts right answers and tokens of a run", () => {
    expect(rowOf(router)).toMatchObject({ right: 3, count: 4, share: 0.75, visionTokens: 20.5 });
  });

  test("knows what chance and the best possible choice make of the fixed runs", () => {
    expect(evenChoice(fixed)).toMatchObject({ right: 2, count: 4, visionTokens: 46 / 3 });
    // The last question is never answered: the coarsest is as good as any.
    expect(oracleChoice(fixed)).toMatchObject({ right: 3, visionTokens: (1 + 9 + 36 + 1) / 4 });
  });

  test("says how often each granularity was chosen, by family, coarse choices first", () => {
    const choices = choicesByFamily(router);
    expect(choices.map(({ family }) => family)).toEqual(["background", "place", "count"]);
    expect([...choices[1].shares]).toEqual([
      [9, 0.5],
      [36, 0.5],
    ]);
    for (const { shares } of choices)
      expect([...shares.values()].reduce((sum, share) => sum + share, 0)).toBe(1);
  });

  test("is a table that compares the router with the finest", () => {
    const table = renderAvgStudy(fixed, [router]);
    expect(table).toContain("| the router | 3/4 | 75.0 | 30.1 to 95.4 | 20.5 |");
    expect(table).toContain("+0.0 points with 0.57 of the tokens");
    expect(table.split("\n").filter((line) => line.startsWith("| "))).toHaveLength(7);
  });

  test("says what the router takes by fineness, from coarse to fine, where such were asked", () => {
    const [first, ...rest] = router.outcomes;
    const outcomes = [{ ...first, fineness: "fine" as const, visionTokens: 36 }, ...rest];
    const rows = rowsByFineness({ outcomes });
    expect(rows.map(({ name }) => name)).toEqual(["medium", "fine"]);
    expect(rows[1]).toMatchObject({ count: 1, visionTokens: 36 });
    expect(renderFineness({ outcomes }).split("\n")).toHaveLength(4);
  });

  test("refuses runs over different questions", () => {
    const other = { ...fine, outcomes: fine.outcomes.slice(1) };
    expect(() => renderAvgStudy([coarse, other], [router])).toThrow(RangeError);
  });

  test("draws every family's shares as a bar of the same length", () => {
    const svg = choiceChart(choicesByFamily(router), "Choices <of> a router");
    expect(svg).toContain("Choices &lt;of&gt; a router");
    const lengths = svg
      .split("\n")
      .filter((line) => line.includes("<tspan"))
      .map((line) =>
        [...line.matchAll(/<rect [^>]*width="([\d.]+)"/g)].reduce(
          (sum, [, w]) => sum + Number(w),
          0,
        ),
      );
    expect(lengths).toEqual([420, 420, 420]);
  });
});
