import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { planWarmup, type Schedule, scheduleFactor } from "../../src/train/schedule.js";

const curve = (schedule: Schedule, total: number): number[] =>
  Array.from({ length: total }, (_, step) => scheduleFactor(schedule, step, total));

const schedules = fc.record({
  kind: fc.constantFrom("constant", "linear", "cosine"),
  warmupRatio: fc.double({ min: 0, max: 1, noNaN: true }),
  minRatio: fc.double({ min: 0, max: 1, noNaN: true }),
});

describe("schedules", () => {
  it("are Hugging Face's: cosine with a warm-up of 0.3 over ten steps", () => {
    // 3 warm-up steps, then 0.5 (1 + cos(pi k / 7)).
    const expected = [0, 1 / 3, 2 / 3, 1, 0.9504844, 0.8117449, 0.6112605, 0.3887395, 0.1882551];
    curve({ kind: "cosine", warmupRatio: 0.3 }, 10).forEach((factor, step) => {
      expect(factor).toBeCloseTo([...expected, 0.0495156][step], 6);
    });
  });

  it("fall linearly to the smallest ratio and stay constant where they should", () => {
    curve({ kind: "linear", warmupSteps: 1, minRatio: 0.25 }, 4).forEach((factor, step) => {
      expect(factor).toBeCloseTo([0, 1, 0.75, 0.5][step], 12);
    });
    expect(curve({ kind: "constant", warmupSteps: 2 }, 5)).toEqual([0, 0.5, 1, 1, 1]);
    expect(curve({ kind: "cosine" }, 1)).toEqual([1]);
  });

  it("rise, touch 1 once the warm-up is over, then never rise again nor leave their bounds", () => {
    fc.assert(
      fc.property(schedules, fc.integer({ min: 1, max: 300 }), (schedule, total) => {
        const warmup = planWarmup(schedule, total);
        const factors = curve(schedule, total);
        factors.forEach((factor, step) => {
          if (step < warmup) expect(factor).toBe(step / warmup);
          else expect(factor).toBeGreaterThanOrEqual(schedule.minRatio - 1e-12);
          expect(factor).toBeLessThanOrEqual(1);
          if (step > warmup) expect(factor).toBeLessThanOrEqual(factors[step - 1]);
        });
        if (warmup < total) expect(factors[warmup]).toBe(1);
      }),
    );
  });

  it("refuse what contradicts itself", () => {
    const refused: [Schedule, number, number][] = [
      [{ kind: "linear", warmupSteps: 1, warmupRatio: 0.1 }, 0, 10],
      [{ kind: "linear", warmupSteps: 11 }, 0, 10],
      [{ kind: "linear", warmupRatio: 1.5 }, 0, 10],
      [{ kind: "cosine", minRatio: -0.1 }, 0, 10],
      [{ kind: "constant" }, 10, 10],
      [{ kind: "constant" }, -1, 10],
    ];
    for (const [schedule, step, total] of refused) {
      expect(() => scheduleFactor(schedule, step, total)).toThrow(OptionsError);
    }
  });
});
