import { describe, expect, test } from "vitest";
import { proportion } from "../../src/eval/proportion.js";

describe("a share with its interval", () => {
  // 8 of 10: the textbook example. The others: the formula of Wilson (1927), computed with Python.
  test.each([
    [8, 10, 0.4901625, 0.9433178],
    [0, 20, 0, 0.1611252],
    [50, 100, 0.4038315, 0.5961685],
    [1990, 2000, 0.9908203, 0.9972819],
  ])("%i of %i", (right, count, low, high) => {
    const interval = proportion(right, count);
    expect(interval.share).toBe(right / count);
    expect(interval.low).toBeCloseTo(low, 6);
    expect(interval.high).toBeCloseTo(high, 6);
  });

  test("none at all says nothing", () => {
    expect(proportion(0, 0)).toMatchObject({ share: Number.NaN, low: 0, high: 1 });
  });
});
