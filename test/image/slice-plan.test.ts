import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LimitError, OptionsError } from "../../src/errors.js";
import { exactLog } from "../../src/image/exact-log.js";
import {
  countSliceTokens,
  merge4,
  merge16,
  planSlices,
  type SliceOptions,
} from "../../src/image/slice-plan.js";

const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);

const describePlan = (width: number, height: number, options: SliceOptions = {}) => {
  const plan = planSlices({ width, height }, options);
  const [thumbnail, slice] = plan.views.map(({ output }) => `${output.width}x${output.height}`);
  const grid = plan.canvas ? `${plan.grid.columns}x${plan.grid.rows}` : "-";
  const reduction = options.unitPx === 28 ? merge4 : merge16;
  return { facts: [thumbnail, grid, slice ?? "-"], tokens: countSliceTokens(plan, reduction) };
};

/** Width, height, thumbnail, grid (columns x rows), slice, tokens; with 36 slices; at 4x. */
const vectors = [
  [100, 100, "448x448", "-", "-", 64, 64, 256],
  [224, 224, "448x448", "-", "-", 64, 64, 256],
  [448, 448, "448x448", "-", "-", 64, 64, 256],
  [449, 449, "448x448", "1x2", "616x336", 196, 196, 762],
  [512, 512, "448x448", "1x2", "616x336", 196, 196, 762],
  [640, 480, "504x392", "2x1", "392x560", 203, 203, 772],
  [800, 600, "504x392", "2x2", "504x392", 315, 315, 1260],
  [1024, 768, "504x392", "2x2", "504x392", 315, 315, 1260],
  [896, 896, "448x448", "2x2", "448x448", 320, 320, 1280],
  [1024, 1024, "448x448", "3x2", "336x560", 424, 424, 1816],
  [1084, 820, "504x392", "3x2", "392x504", 441, 441, undefined],
  [1280, 720, "616x336", "3x2", "504x392", 444, 444, 1782],
  [1344, 1344, "448x448", "3x3", "448x448", 640, 640, 2560],
  [1344, 1008, "504x392", "3x2", "448x448", 447, 447, undefined],
  [1240, 1754, "392x560", "2x4", "560x392", 630, 838, 2223],
  [1920, 1080, "616x336", "4x2", "448x448", 578, 822, 2292],
  [2048, 2048, "448x448", "3x3", "448x448", 640, 1324, 2560],
  [2480, 3508, "392x560", "2x4", "504x392", 574, 2310, 2223],
  [3136, 3136, "448x448", "3x3", "448x448", 640, 2368, 2560],
  [3840, 2160, "616x336", "4x2", "448x448", 578, 2334, 2292],
  [4000, 1000, "896x224", "8x1", "336x616", 592, 1324, 2280],
  [300, 3000, "168x1400", "1x6", "336x560", 435, 435, 1767],
  [56, 56, "448x448", "-", "-", 64, undefined, undefined],
  [30, 300, "168x1400", "-", "-", 75, undefined, undefined],
] as const;

describe("the published plans (LLaVA-UHD v4)", () => {
  it.each(vectors)("%ix%i: %s, %s of %s", (width, height, ...recorded) => {
    const [thumbnail, grid, slice, tokens, tokens36, tokens4x] = recorded;
    const planned = describePlan(width, height);
    expect(planned.facts).toEqual([thumbnail, grid, slice]);
    expect(sum(planned.tokens)).toBe(tokens);
    if (tokens36 !== undefined)
      expect(sum(describePlan(width, height, { maxSlices: 36 }).tokens)).toBe(tokens36);
    if (tokens4x !== undefined)
      expect(sum(describePlan(width, height, { unitPx: 28 }).tokens)).toBe(tokens4x);
  });

  it("width and height do not change places: 1084x820 is 441 tokens, turned round 495", () => {
    expect(describePlan(1084, 820).tokens).toEqual([63, 63, 63, 63, 63, 63, 63]);
    const turned = describePlan(820, 1084);
    expect(turned.facts).toEqual(["392x504", "2x3", "504x448"]);
    expect(sum(turned.tokens)).toBe(495);
  });

  it.each([
    // Area in views, slices allowed: the grid (columns x rows) that Python's logarithm picks.
    [2, 2, "1x2"],
    [12, 12, "4x3"],
    [14, 15, "3x5"],
    [20, 20, "4x5"],
    [22, 22, "3x7"],
    [24, 24, "6x4"],
    [28, 28, "7x4"],
    [30, 30, "5x6"],
    [34, 36, "5x7"],
  ])(
    "a square of %i views in at most %i slices: of two grids that tie, %3$s",
    (views, maxSlices, grid) => {
      const side = Math.floor(448 * Math.sqrt(views));
      expect(describePlan(side, side, { maxSlices }).facts[1]).toBe(grid);
    },
  );
});

describe("the logarithm that decides ties", () => {
  it("is correctly rounded: known last bits, where Math.log differs between engines", () => {
    expect(exactLog(3)).toBe(1.0986122886681098);
    expect(exactLog(7 / 5)).toBe(0.3364722366212129);
    expect(exactLog(5 / 7)).toBe(-0.3364722366212129);
    expect(exactLog(8000 / 7999)).toBe(0.00012500781315117324);
    expect(exactLog(1)).toBe(0);
    expect(exactLog(2 ** -3)).toBe(-3 * Math.LN2);
  });

  it("agrees with Math.log to its last bit or two, and rises", () => {
    const ratio = fc
      .tuple(fc.integer({ min: 1, max: 8000 }), fc.integer({ min: 1, max: 8000 }))
      .map(([one, other]) => one / other);
    fc.assert(
      fc.property(ratio, ratio, (one, other) => {
        const difference = Math.abs(exactLog(one) - Math.log(one));
        expect(difference).toBeLessThanOrEqual(Math.abs(Math.log(one)) * 2 ** -51);
        if (one < other) expect(exactLog(one)).toBeLessThanOrEqual(exactLog(other));
      }),
    );
  });
});

const size = fc.record({
  width: fc.integer({ min: 1, max: 8000 }),
  aspect: fc.double({ min: 1 / 50, max: 50, noNaN: true }),
});

describe("the plan of any image", () => {
  const options = fc.record({
    maxSlices: fc.integer({ min: 1, max: 36 }),
    unitPx: fc.constantFrom(14, 28, 56),
    encoding: fc.constantFrom("slice" as const, "global" as const),
  });

  it("has views in whole units, slices of one size that tile the resized image, and no more than asked", () => {
    fc.assert(
      fc.property(size, options, ({ width, aspect }, asked) => {
        const height = Math.min(8000, Math.max(1, Math.ceil(width / aspect)));
        const { views, grid, canvas } = planSlices({ width, height }, asked);
        const [thumbnail, ...slices] = views;
        expect(thumbnail.role).toBe("whole");
        for (const { output, patches } of views) {
          expect(output.width % asked.unitPx).toBe(0);
          expect(output.height % asked.unitPx).toBe(0);
          expect(patches).toEqual({ rows: output.height / 14, columns: output.width / 14 });
        }
        expect(slices.length).toBe(grid.columns * grid.rows);
        expect(slices.length).toBeLessThanOrEqual(asked.maxSlices);
        expect(slices.length).not.toBe(1);
        if (asked.maxSlices === 1 || asked.encoding === "global") expect(slices).toEqual([]);
        for (const [index, { rect, output }] of slices.entries()) {
          const { width: w, height: h } = slices[0].output;
          expect(output).toEqual({ left: 0, top: 0, width: w, height: h });
          const column = index % grid.columns;
          const row = Math.floor(index / grid.columns);
          expect(rect).toEqual({ left: column * w, top: row * h, width: w, height: h });
        }
        if (slices.length > 0) {
          expect(canvas?.width).toBe(slices[0].output.width * grid.columns);
          expect(canvas?.height).toBe(slices[0].output.height * grid.rows);
        } else expect(canvas).toBeUndefined();
      }),
      { numRuns: 300 },
    );
  });

  it("is one view as large as all slices may be together, and never enlarged, with global encoding", () => {
    const global = (width: number, height: number, maxSlices = 9) =>
      planSlices({ width, height }, { encoding: "global", maxSlices }).views.map(
        ({ output }) => `${output.width}x${output.height}`,
      );
    expect(global(100, 100)).toEqual(["112x112"]);
    expect(global(1344, 1344)).toEqual(["1344x1344"]);
    expect(global(4000, 4000)).toEqual(["1344x1344"]);
    expect(global(4000, 4000, 36)).toEqual(["2688x2688"]);
    expect(global(1920, 1080, 1)).toEqual(["616x336"]);
  });

  it("gives a resampler its queries for every view, whatever its size", () => {
    const plan = planSlices({ width: 1000, height: 700 }, { unitPx: 14 });
    expect(countSliceTokens(plan, { numQueries: 64 })).toEqual(plan.views.map(() => 64));
  });
});

describe("what cannot be planned is refused", () => {
  const image = { width: 640, height: 480 };

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("max_slice_nums %d", (maxSlices) => {
    expect(() => planSlices(image, { maxSlices })).toThrow(OptionsError);
    expect(() => planSlices(image, { maxSlices })).toThrow(/maxSlices .* got/);
  });

  it("sides that are no sides", () => {
    for (const width of [0, -5, 1.5, Number.NaN])
      expect(() => planSlices({ width, height: 10 })).toThrow(OptionsError);
  });

  it("more pixels than the limit, and an aspect ratio beyond it, unless they are raised", () => {
    expect(() => planSlices({ width: 20_000, height: 20_000 })).toThrow(LimitError);
    expect(() => planSlices(image, { maxPixels: 640 * 480 - 1 })).toThrow(LimitError);
    expect(planSlices(image, { maxPixels: 640 * 480 }).views.length).toBe(3);
    for (const [width, height] of [
      [4001, 20],
      [20, 4001],
    ])
      expect(() => planSlices({ width, height })).toThrow(/200 times/);
    expect(planSlices({ width: 4000, height: 20 }).views.length).toBe(1);
    expect(() => planSlices({ width: 110, height: 10 }, { maxAspectRatio: 10 })).toThrow(
      LimitError,
    );
    expect(planSlices({ width: 4001, height: 20 }, { maxAspectRatio: 300 }).views.length).toBe(1);
  });

  it("units that patches do not divide, and grids that tokens do not divide", () => {
    expect(() => planSlices(image, { unitPx: 30 })).toThrow(OptionsError);
    const odd = planSlices({ width: 300, height: 1000 }, { unitPx: 14 });
    expect(() => countSliceTokens(odd, merge16)).toThrow(/rows x columns/);
    for (const mergeSide of [0, 1.5, Number.NaN])
      expect(() => countSliceTokens(planSlices(image), { mergeSide })).toThrow(OptionsError);
  });
});
