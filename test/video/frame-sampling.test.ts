import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LimitError, OptionsError, VideoDecodeError } from "../../src/errors.js";
import { planFrames, spreadFrames } from "../../src/video/frame-sampling.js";
import { readJson } from "../support/recorded-preprocessing.js";

type Case = { total: number; count: number; indices: number[] };
const { cases } = readJson("llava-mini-video/frame_indices.json") as { cases: Case[] };

describe("spreadFrames takes the frames of the released code", () => {
  it.each(cases)("$count of $total", ({ total, count, indices }) => {
    expect(spreadFrames(total, count)).toEqual(indices);
  });

  it("rounds halves to even: 0.5 to 0, 1.5 and 2.5 to 2", () => {
    // Segments of 0.5: borders 0, 0.5, 1, 1.5, 2, 2.5, 3.
    expect(spreadFrames(4, 6)).toEqual([0, 0, 1, 2, 2, 2]);
  });

  it("numbers never decrease and lie inside the clip", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 9999 }),
        fc.integer({ min: 1, max: 300 }),
        (total, n) => {
          const indices = spreadFrames(total, n);
          expect(indices).toHaveLength(n);
          indices.forEach((index, i) => {
            expect(index).toBeGreaterThanOrEqual(indices[i - 1] ?? 0);
            expect(index).toBeLessThan(total);
          });
        },
      ),
    );
  });
});

describe("planFrames", () => {
  it("takes about one frame a second", () => {
    const plan = planFrames({ frameCount: 300, frameRate: 30_000 / 1001 });
    expect(plan).toEqual({
      indices: spreadFrames(300, 10),
      frameCount: 300,
      numWanted: 10,
      isCapped: false,
    });
  });

  it("takes one frame of a clip below a second, and fails in compat like the reference", () => {
    const clip = { frameCount: 7, frameRate: 25 };
    expect(planFrames(clip).indices).toEqual([3]);
    expect(() => planFrames(clip, { shortClip: "compat" })).toThrow(VideoDecodeError);
    expect(planFrames({ frameCount: 25, frameRate: 25 }, { shortClip: "compat" }).indices).toEqual([
      12,
    ]);
  });

  it("spreads N frames in training, or takes all there are", () => {
    const plan = planFrames({ frameCount: 100, frameRate: 25 }, { rule: "uniform", numFrames: 8 });
    expect(plan.indices).toEqual([6, 18, 31, 43, 56, 68, 80, 93]);
    const short = planFrames({ frameCount: 5, frameRate: 0 }, { rule: "uniform", numFrames: 8 });
    expect(short.indices).toEqual(spreadFrames(5, 5));
  });

  it("says what the cap cut, or refuses", () => {
    const hour = { frameCount: 90_000, frameRate: 25 };
    const plan = planFrames(hour, { maxFrames: 180 });
    expect(plan).toMatchObject({ numWanted: 3600, isCapped: true });
    expect(plan.indices).toEqual(spreadFrames(90_000, 180));
    expect(() => planFrames(hour, { maxFrames: 180, overCap: "refuse" })).toThrow(LimitError);
    expect(planFrames(hour).indices).toHaveLength(1000);
    expect(planFrames(hour, { maxFrames: Infinity }).indices).toHaveLength(3600);
    const folder = planFrames({ frameCount: 2000, frameRate: 3 }, { rule: "all" });
    expect(folder).toMatchObject({ numWanted: 2000, isCapped: true });
    const all = planFrames({ frameCount: 4, frameRate: 3 }, { rule: "all" });
    expect(all.indices).toEqual([0, 1, 2, 3]);
  });

  it("refuses videos without frames or rate, and counts that are none", () => {
    const clip = { frameCount: 50, frameRate: 25 };
    expect(() => planFrames({ frameCount: 0, frameRate: 25 })).toThrow(VideoDecodeError);
    expect(() => planFrames({ frameCount: 50, frameRate: 0 })).toThrow(VideoDecodeError);
    for (const maxFrames of [0, 1.5, Number.NaN]) {
      expect(() => planFrames(clip, { maxFrames })).toThrow(OptionsError);
    }
    for (const numFrames of [undefined, 0, 2.5]) {
      expect(() => planFrames(clip, { rule: "uniform", ...(numFrames && { numFrames }) })).toThrow(
        OptionsError,
      );
    }
  });
});
