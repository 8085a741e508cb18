import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import {
  checkNoTokenChoice,
  planTokenOptions,
  type TokenChoice,
} from "../../src/systems/token-choice.js";

const all = [
  { granularity: 36, tokens: 192 },
  { granularity: 72, tokens: 228 },
  { granularity: 144, tokens: 744 },
  { granularity: 576, tokens: 2928 },
];
const allowed = (choice: TokenChoice, hasRouter = true) => {
  const options = planTokenOptions(all, choice, hasRouter);
  return { ...options, allowed: options.allowed.map(({ granularity }) => granularity) };
};

describe("what a choice of tokens leaves", () => {
  test.each<[string, TokenChoice, boolean, number[], string]>([
    ["nothing asked", {}, true, [36, 72, 144, 576], "router"],
    ["auto", { detail: "auto" }, true, [36, 72, 144, 576], "router"],
    ["low", { detail: "low" }, true, [36], "request"],
    ["high", { detail: "high" }, true, [576], "request"],
    ["a granularity", { granularity: 144 }, true, [144], "request"],
    ["a budget", { maxSoftTokens: 744 }, true, [36, 72, 144], "router"],
    ["a budget for one", { maxSoftTokens: 200 }, true, [36], "budget"],
    ["a budget under high", { detail: "high", maxSoftTokens: 300 }, true, [72], "request"],
    ["no router", {}, false, [576], "model"],
    ["auto without a router", { detail: "auto" }, false, [576], "model"],
    ["a budget without a router", { maxSoftTokens: 300 }, false, [72], "budget"],
  ])("%s", (_, choice, hasRouter, left, chosenBy) => {
    expect(allowed(choice, hasRouter)).toMatchObject({ allowed: left, chosenBy, all });
  });

  test.each<[string, TokenChoice, string]>([
    [
      "a granularity that the model lacks",
      { granularity: 100 },
      "one of 36, 72, 144, 576, got 100",
    ],
    ["a budget below the coarsest", { maxSoftTokens: 191 }, "raise it to 192 or more"],
    ["a budget of nothing", { maxSoftTokens: 0 }, "at least 1, got 0"],
    ["a broken budget", { maxSoftTokens: 2.5 }, "whole number"],
    ["a granularity above the budget", { granularity: 576, maxSoftTokens: 744 }, "takes 2928"],
    ["two choices", { granularity: 36, detail: "high" }, "give one of them"],
    ["an unknown detail", { detail: "some" as "low" }, "low, high or auto"],
  ])("is an error for %s", (_, choice, message) => {
    expect(() => planTokenOptions(all, choice, true)).toThrow(OptionsError);
    expect(() => planTokenOptions(all, choice, true)).toThrow(message);
  });

  test("never exceeds the budget, and is never empty", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4000 }),
        fc.constantFrom(undefined, "low", "high", "auto"),
        fc.boolean(),
        (maxSoftTokens, detail, hasRouter) => {
          const choice = { maxSoftTokens, ...(detail && { detail }) } as TokenChoice;
          if (maxSoftTokens < 192) {
            expect(() => planTokenOptions(all, choice, hasRouter)).toThrow(OptionsError);
            return;
          }
          const options = planTokenOptions(all, choice, hasRouter);
          expect(options.allowed.length).toBeGreaterThan(0);
          for (const { tokens } of options.allowed)
            expect(tokens).toBeLessThanOrEqual(maxSoftTokens);
        },
      ),
    );
  });
});

describe("systems without a choice", () => {
  test("refuse one, but not a budget that they keep", () => {
    expect(() => checkNoTokenChoice({}, 576, "llava")).not.toThrow();
    expect(() => checkNoTokenChoice({ detail: "auto" }, 576, "llava")).not.toThrow();
    expect(() => checkNoTokenChoice({ maxSoftTokens: 576 }, 576, "llava")).not.toThrow();
    expect(() => checkNoTokenChoice({ maxSoftTokens: 575 }, 576, "llava")).toThrow(OptionsError);
    expect(() => checkNoTokenChoice({ detail: "low" }, 576, "llava")).toThrow(
      "no choice of tokens",
    );
    expect(() => checkNoTokenChoice({ granularity: 36 }, 576, "llava")).toThrow(OptionsError);
  });
});
