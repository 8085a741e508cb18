import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LimitError, OptionsError } from "../../src/errors.js";
import { isRefused, type PublishedPlan, planPublished } from "../../src/load/published-plans.js";

const plansOf = (width: number, height: number, options = {}): Map<string, PublishedPlan> =>
  new Map(
    planPublished({ width, height }, options).flatMap((planned) =>
      isRefused(planned) ? [] : [[planned.system, planned] as const],
    ),
  );
const tokensOf = (width: number, height: number, options = {}) =>
  Object.fromEntries(
    [...plansOf(width, height, options)].map(([name, { tokens }]) => [name, tokens]),
  );

describe("an image in every published system", () => {
  it("of 672x672 takes the published tokens", () => {
    expect(tokensOf(672, 672)).toEqual({
      "llava-1.5": 576,
      "llava-next": 2928,
      "llava-mini": 1,
      "llava-mini-hd": 64,
      "avg-llava-36": 192,
      "avg-llava-72": 228,
      "avg-llava-144": 744,
      "avg-llava-288": 888,
      "avg-llava-576": 2928,
      "llava-uhd-v4": 320,
      "llava-uhd-v4-4x": 1280,
    });
  });

  it("of other sizes takes LLaVA-UHD v4's published tokens", () => {
    expect(tokensOf(1084, 820)["llava-uhd-v4"]).toBe(441);
    expect(tokensOf(1344, 1344)).toMatchObject({ "llava-uhd-v4": 640, "llava-uhd-v4-4x": 2560 });
    expect(tokensOf(3136, 3136, { maxSlices: 36 })["llava-uhd-v4"]).toBe(2368);
    expect(tokensOf(1344, 1344, { encoding: "global" })["llava-uhd-v4"]).toBe(576);
  });

  it("has as many tokens as its views and what they share, each in a kept cell", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 6000 }),
        fc.integer({ min: 2, max: 6000 }),
        (width, height) => {
          fc.pre(Math.max(width, height) <= 200 * Math.min(width, height));
          for (const { plan, views, shared, tokens } of plansOf(width, height).values()) {
            expect(views.length).toBe(plan.views.length);
            const own = views.reduce((sum, view) => sum + view.tokens, 0);
            expect(own + shared.tokens).toBe(tokens);
            for (const { lattice, tokens: count } of views) {
              if (lattice === undefined) continue;
              const { grid, kept } = lattice;
              expect(kept.rows * kept.columns).toBe(count);
              expect(kept.row + kept.rows).toBeLessThanOrEqual(grid.rows);
              expect(kept.column + kept.columns).toBeLessThanOrEqual(grid.columns);
            }
          }
        },
      ),
      { numRuns: 30 },
    );
  });

  it("that a system cannot take is refused by that one alone, with its reason", () => {
    const planned = planPublished({ width: 1, height: 1000 });
    const refused = planned.filter(isRefused);
    expect(refused.map(({ system }) => system)).toEqual([
      "llava-mini-hd",
      "llava-uhd-v4",
      "llava-uhd-v4-4x",
    ]);
    expect(refused[1].refusal.message).toMatch(/200 times/);
    expect(planned.length).toBe(11);
  });

  it("that is none, or options that are none, throw", () => {
    expect(() => planPublished({ width: 0, height: 5 })).toThrow(OptionsError);
    expect(() => planPublished({ width: 1_000_000, height: 1_000_000 })).toThrow(LimitError);
    for (const maxSlices of [0, 1.5])
      expect(() => planPublished({ width: 5, height: 5 }, { maxSlices })).toThrow(OptionsError);
  });
});
