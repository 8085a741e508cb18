import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createBatchOrder } from "../../src/data/batch-order.js";
import { planBatches } from "../../src/data/batch-plan.js";
import { bucketOf, planBuckets } from "../../src/data/length-buckets.js";
import { permute } from "../../src/data/permutation.js";
import { DatasetError, OptionsError } from "../../src/errors.js";

describe("permutations", () => {
  test("hold every index once, and repeat for the same key only", () => {
    fc.assert(
      fc.property(fc.nat(300), fc.nat(), fc.nat(50), (length, seed, epoch) => {
        const order = permute(length, [seed, epoch]);
        expect(Array.from(order).sort((a, b) => a - b)).toEqual([...new Array(length).keys()]);
        expect(permute(length, [seed, epoch])).toEqual(order);
      }),
    );
    const keys = [[0, 0], [0, 1], [1, 0], [1, 1], [2 ** 32, 0], [0], [0, 0, 0]];
    expect(new Set(keys.map((key) => permute(50, key).join())).size).toBe(keys.length);
  });

  test("stay what they are: a run resumed later must find its order", () => {
    expect(Array.from(permute(8, [42, 3]))).toMatchInlineSnapshot(`
      [
        6,
        7,
        0,
        3,
        2,
        5,
        1,
        4,
      ]
    `);
  });

  test("are all equally likely", () => {
    const counts = new Map<string, number>();
    const numDraws = 24_000;
    for (let seed = 0; seed < numDraws; seed++) {
      const order = permute(4, [seed, 0]).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    const expected = numDraws / 24;
    const chiSquare = [...counts.values()].reduce(
      (sum, count) => sum + (count - expected) ** 2 / expected,
      0,
    );
    // 23 degrees of freedom: above 49.7 once in a thousand; the seeds are fixed, so this does not flicker.
    expect(chiSquare).toBeLessThan(49.7);
  });

  test("refuse seeds that are no whole numbers", () => {
    expect(() => permute(3, [-1])).toThrow(OptionsError);
    expect(() => permute(3, [0.5])).toThrow(OptionsError);
  });
});

const anyPlan = fc.record({
  groups: fc.array(fc.integer({ min: -1, max: 3 }), { maxLength: 60 }),
  batchSize: fc.integer({ min: 1, max: 7 }),
  seed: fc.nat(1000),
  epoch: fc.nat(3),
});

describe("batches of an epoch", () => {
  test("hold every sample of a group once, each batch of one group", () => {
    fc.assert(
      fc.property(anyPlan, fc.boolean(), (options, byLength) => {
        const { groups, batchSize } = options;
        const lengths = groups.map((_, at) => (at * 7) % 11);
        const plan = planBatches({ ...options, ...(byLength && { lengths, windowBatches: 2 }) });
        const all = plan.batches.flatMap((batch) => Array.from(batch));
        const wanted = [...groups.keys()].filter((at) => groups[at] >= 0);
        expect(all.sort((a, b) => a - b)).toEqual(wanted);
        expect(plan.numLeftOut).toBe(groups.length - wanted.length);
        expect(plan.numDropped).toBe(0);
        for (const batch of plan.batches) {
          expect(new Set(Array.from(batch, (at) => groups[at])).size).toBe(1);
          expect(batch.length).toBeLessThanOrEqual(batchSize);
        }
      }),
    );
  });

  test("are all full where the remainder is dropped, and what is dropped is counted", () => {
    fc.assert(
      fc.property(anyPlan, (options) => {
        const plan = planBatches({ ...options, remainder: "drop" });
        expect(plan.batches.every(({ length }) => length === options.batchSize)).toBe(true);
        const numUsed = plan.batches.length * options.batchSize;
        const numWanted = options.groups.filter((group) => group >= 0).length;
        expect(numUsed + plan.numDropped).toBe(numWanted);
      }),
    );
  });

  test("of neighbours in length need less padding", () => {
    const lengths = Array.from(permute(4000, [5]));
    const pad = (options: { lengths?: number[] }) =>
      planBatches({ groups: lengths.map(() => 0), batchSize: 8, seed: 1, epoch: 0, ...options })
        .batches.map((batch) => Array.from(batch, (at) => lengths[at]))
        .reduce(
          (sum, row) => sum + row.reduce((short, length) => short + Math.max(...row) - length, 0),
          0,
        );
    expect(pad({ lengths })).toBeLessThan(pad({}) / 20);
  });

  test("may differ in size by group", () => {
    const { batches } = planBatches({
      groups: [0, 0, 0, 0, 1, 1, 1, 1],
      batchSize: (group) => (group === 0 ? 4 : 2),
      seed: 0,
      epoch: 0,
    });
    expect(batches.map(({ length }) => length).sort()).toEqual([2, 2, 4]);
  });

  test("refuse nonsense", () => {
    const plan = (options: object) => () =>
      planBatches({ groups: [0], batchSize: 1, seed: 0, epoch: 0, ...options });
    expect(plan({ batchSize: 0 })).toThrow(OptionsError);
    expect(plan({ epoch: -1 })).toThrow(OptionsError);
    expect(plan({ lengths: [] })).toThrow(OptionsError);
  });
});

describe("the order of batches", () => {
  const options = (seed: number) => ({
    groups: [...new Array(23).keys()].map((at) => at % 3),
    batchSize: 4,
    seed,
    dataFingerprint: "data#1",
  });
  const take = (order: ReturnType<typeof createBatchOrder>, count: number) =>
    Array.from({ length: count }, () => {
      const { epoch, batch, indices } = order.next();
      return `${epoch}.${batch}: ${indices.join()}`;
    });

  test("continues exactly from any place that was written down", () => {
    fc.assert(
      fc.property(fc.nat(40), fc.nat(100), (numBefore, seed) => {
        const order = createBatchOrder(options(seed));
        take(order, numBefore);
        const place = JSON.parse(JSON.stringify(order.state()));
        const rest = take(order, 20);
        const resumed = createBatchOrder(options(seed));
        resumed.restore(place);
        expect(take(resumed, 20)).toEqual(rest);
      }),
    );
  });

  test("brings other batches in each epoch", () => {
    const order = createBatchOrder(options(1));
    const numBatches = order.plan.batches.length;
    const [first, second] = [take(order, numBatches), take(order, numBatches)].map((turns) =>
      turns.map((turn) => turn.split(": ")[1]),
    );
    expect(first).not.toEqual(second);
    expect(order.state()).toMatchObject({ epoch: 2, batch: 0 });
  });

  test("is refused by another run: data, seed, groups, batch size, grouping", () => {
    const { state } = createBatchOrder(options(1));
    const place = state();
    const others = [
      { seed: 2 },
      { batchSize: 5 },
      { dataFingerprint: "data#2" },
      { remainder: "drop" as const },
      { groups: options(1).groups.toReversed() },
      { lengths: options(1).groups },
    ];
    for (const change of others)
      expect(() => createBatchOrder({ ...options(1), ...change }).restore(place)).toThrow(
        DatasetError,
      );
    expect(() => createBatchOrder(options(1)).restore(place)).not.toThrow();
  });

  test("refuses what is no place, and stays where it was", () => {
    const order = createBatchOrder(options(1));
    order.next();
    const before = order.state();
    for (const place of [null, {}, { ...before, batch: 99 }, { ...before, epoch: -1 }, "x"])
      expect(() => order.restore(place)).toThrow(OptionsError);
    expect(order.state()).toEqual(before);
    expect(() => createBatchOrder({ ...options(1), groups: [-1] })).toThrow(/must have a batch/);
  });
});

describe("buckets", () => {
  const anyLengths = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 });
  const placesOf = (lengths: readonly number[], ends: readonly number[]) =>
    lengths.reduce((sum, length) => sum + (ends.find((end) => length <= end) ?? Number.NaN), 0);

  /** The fewest places of any choice of at most `count` ends. */
  const searchAll = (lengths: readonly number[], count: number): number => {
    const ends = [...new Set(lengths.map((length) => Math.ceil(length / 8) * 8))];
    let best = Number.POSITIVE_INFINITY;
    for (let choice = 1; choice < 2 ** ends.length; choice++) {
      const chosen = ends.filter((_, at) => choice & (1 << at)).sort((a, b) => a - b);
      if (chosen.length > count || !chosen.includes(Math.max(...ends))) continue;
      best = Math.min(best, placesOf(lengths, chosen));
    }
    return best;
  };

  test("have the least padding of all choices, and report it", () => {
    fc.assert(
      fc.property(anyLengths, fc.integer({ min: 1, max: 5 }), (lengths, maxBuckets) => {
        const buckets = planBuckets(lengths, { maxBuckets });
        const places = placesOf(lengths, buckets.lengths);
        expect(places).toBe(searchAll(lengths, maxBuckets));
        const total = lengths.reduce((sum, length) => sum + length, 0);
        expect(buckets.paddingShare).toBeCloseTo(1 - total / places, 12);
        expect(buckets.lengths.length).toBeLessThanOrEqual(maxBuckets);
        expect(buckets.lengths.every((end) => end % 8 === 0)).toBe(true);
        for (const length of lengths) {
          const at = bucketOf(buckets, length);
          expect(buckets.lengths[at]).toBeGreaterThanOrEqual(length);
          expect(at === 0 || buckets.lengths[at - 1] < length).toBe(true);
        }
      }),
    );
  });

  test("are the fewest that keep a bound on padding, or it is refused", () => {
    const lengths = [8, 8, 8, 16, 64, 64];
    expect(planBuckets(lengths, { maxPaddingShare: 0.15 })).toEqual({
      lengths: [16, 64],
      paddingShare: 0.125,
    });
    expect(planBuckets(lengths, { maxPaddingShare: 0 }).lengths).toEqual([8, 16, 64]);
    expect(() => planBuckets(lengths, { maxPaddingShare: 0, maxBuckets: 2 })).toThrow(
      /got 0\.125 with 2 buckets/,
    );
  });

  test("leave out what has no length, and refuse nothing at all", () => {
    expect(planBuckets([-1, 0, 5]).lengths).toEqual([8]);
    expect(bucketOf({ lengths: [8], paddingShare: 0 }, 9)).toBe(-1);
    expect(bucketOf({ lengths: [8], paddingShare: 0 }, -1)).toBe(-1);
    expect(() => planBuckets([-1])).toThrow(OptionsError);
    expect(() => planBuckets([1.5])).toThrow(OptionsError);
  });

  // Even lengths in 8 even buckets: half a bucket of padding in 4.5 buckets of places on average.
  test("of a hundred thousand long samples are found quickly", () => {
    const lengths = Float64Array.from(permute(100_000, [1]));
    const started = performance.now();
    expect(planBuckets(lengths, { maxBuckets: 8 }).paddingShare).toBeCloseTo(1 / 9, 2);
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
