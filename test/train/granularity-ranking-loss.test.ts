import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { grad, input, type Tensor } from "../../src/graph/index.js";
import { float32 } from "../../src/tensor-data.js";
import {
  granularityRankingLoss,
  type RankingOptions,
} from "../../src/train/granularity-ranking-loss.js";
import { useEngine } from "../support/graph-runner.js";

const runner = useEngine();
const published: RankingOptions = {
  form: "released",
  margin: 1,
  rankWeight: 1,
  crossEntropyWeight: 0.1,
};

const compute = async (
  logits: readonly (readonly number[])[],
  losses: readonly (readonly number[])[],
  {
    counts = logits.map(() => 1),
    ...options
  }: Partial<RankingOptions> & { counts?: number[] } = {},
) => {
  const [batch, choices] = [logits.length, logits[0].length];
  const z = input("logits", "float32", [batch, choices]);
  const loss = granularityRankingLoss(
    {
      logits: z,
      losses: input("losses", "float32", [batch, choices]),
      counts: input("counts", "float32", [batch]),
    },
    { ...published, ...options },
  );
  const [gradient] = grad(loss.total, [z]) as [Tensor];
  const results = await runner.compute(
    { ...loss, gradient },
    {
      logits: float32([batch, choices], logits.flat()),
      losses: float32([batch, choices], losses.flat()),
      counts: float32([batch], counts),
    },
  );
  const value = (name: string): number => Number(results[name].data[0]);
  return {
    rank: value("rank"),
    crossEntropy: value("crossEntropy"),
    total: value("total"),
    gradient: Array.from(results.gradient.data, Number),
  };
};

const logSoftmax = (row: readonly number[]): number[] => {
  const top = Math.max(...row);
  const total = Math.log(row.reduce((sum, value) => sum + Math.exp(value - top), 0)) + top;
  return row.map((value) => value - total);
};

/** Both forms as they are written down: sorted by loss, pair by pair. */
const bySorting = (
  logits: readonly (readonly number[])[],
  losses: readonly (readonly number[])[],
  form: RankingOptions["form"],
): { rank: number; crossEntropy: number } => {
  const choices = logits[0].length;
  const sorted = logits.map((row, sample) => {
    const order = row.map((_, index) => index);
    order.sort((a, b) => losses[sample][a] - losses[sample][b] || a - b);
    const scores = logSoftmax(row);
    return {
      scores: order.map((index) => scores[index]),
      losses: order.map((index) => losses[sample][index]),
    };
  });
  let rank = 0;
  for (let distance = 1; distance < choices; distance += 1) {
    const violations = sorted.flatMap(({ scores, losses: own }) =>
      Array.from({ length: choices - distance }, (_, place) => {
        const gap = own[place + distance] - own[place];
        const held = form === "released" ? distance * gap : gap;
        return Math.max(0, scores[place + distance] - scores[place] + held);
      }),
    );
    const sum = violations.reduce((left, right) => left + right, 0);
    rank += sum / (form === "released" ? violations.length : logits.length);
  }
  const crossEntropy = sorted.reduce((sum, { scores }) => sum - scores[0], 0) / logits.length;
  return { rank, crossEntropy };
};

describe("the ranking loss", () => {
  test.each([
    [[0.2, -0.1, 0.4, 0, 1], [1.3, 1.2, 1.1, 1, 0.9], 0.992841, 1.7416667, 1.8409508],
    [[1, 0, 0.4, -0.1, 0.2], [1.3, 1.2, 1.1, 1, 0.9], 1.792841, 4.875, 5.0542841],
    [[0, 0, 0, 0, 0], [1, 1, 1, 1, 1], 1.6094379, 0, 0.1609438],
  ])("of %j for losses %j is the published one", async (logits, losses, ce, rank, total) => {
    const own = await compute([logits], [losses]);
    expect(own.crossEntropy).toBeCloseTo(ce, 5);
    expect(own.rank).toBeCloseTo(rank, 5);
    expect(own.total).toBeCloseTo(total, 5);
  });

  test.each(["released", "paper"] as const)(
    "in the %s form is what sorting and comparing pair by pair gives",
    async (form) => {
      const number = fc.integer({ min: -8, max: 8 }).map((value) => value / 4);
      const matrix = fc
        .tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 2, max: 5 }))
        .chain(([rows, columns]) => {
          const row = fc.array(number, { minLength: columns, maxLength: columns });
          const all = fc.array(row, { minLength: rows, maxLength: rows });
          return fc.tuple(all, all);
        });
      await fc.assert(
        fc.asyncProperty(matrix, async ([logits, losses]) => {
          const own = await compute(logits, losses, { form });
          const expected = bySorting(logits, losses, form);
          expect(own.rank).toBeCloseTo(expected.rank, 4);
          expect(own.crossEntropy).toBeCloseTo(expected.crossEntropy, 4);
          expect(own.total).toBeCloseTo(expected.rank + 0.1 * expected.crossEntropy, 4);
        }),
        { numRuns: 12 },
      );
    },
  );

  test("weighs its parts as asked", async () => {
    const [logits, losses] = [[[0.3, -0.2, 1]], [[2, 1, 1.5]]];
    const { rank, crossEntropy, total } = await compute(logits, losses, {
      rankWeight: 3,
      crossEntropyWeight: 0.5,
    });
    expect(total).toBeCloseTo(3 * rank + 0.5 * crossEntropy, 5);
    const none = await compute(logits, losses, { rankWeight: 0, crossEntropyWeight: 0 });
    expect(none.total).toBe(0);
    expect(none.gradient.every((value) => value === 0)).toBe(true);
  });

  test("leaves out samples without an answer, and is 0 with no gradient where all are", async () => {
    const logits = [
      [0.1, 0.5, -1],
      [2, 0, 1],
    ];
    const losses = [
      [1, 2, 3],
      [0, 0, 0],
    ];
    const both = await compute(logits, losses, { counts: [1, 0] });
    const alone = await compute([logits[0]], [losses[0]]);
    expect(both.total).toBeCloseTo(alone.total, 6);
    expect(both.gradient.slice(3)).toEqual([0, 0, 0]);
    const none = await compute(logits, losses, { counts: [0, 0] });
    expect(none.total).toBe(0);
    expect(none.gradient).toEqual([0, 0, 0, 0, 0, 0]);
  });

  test("pushes the better granularity up, and stops where the order is clear", async () => {
    const wrong = await compute([[-1, 1]], [[1, 2]], { crossEntropyWeight: 0 });
    expect(wrong.gradient[0]).toBeLessThan(0);
    expect(wrong.gradient[1]).toBeGreaterThan(0);
    const clear = await compute([[3, -3]], [[1, 2]], { crossEntropyWeight: 0 });
    expect(clear.rank).toBe(0);
    expect(clear.gradient.map(Math.abs)).toEqual([0, 0]);
  });
});

test("a price of tokens is a loss that they add", async () => {
  const losses = [
    [0.9, 0.2, 0.1],
    [0.3, 0.31, 0.3],
  ];
  const logits = [
    [0.4, 0, 0.7],
    [1, 0, 2],
  ];
  const prices = [0.01, 0.1, 0.3];
  const added = losses.map((row) => row.map((loss, index) => loss + prices[index]));
  const priced = await compute(logits, losses, { prices });
  const expected = await compute(logits, added);
  expect(priced.total).toBeCloseTo(expected.total, 6);
  expect(priced.gradient).toEqual(expected.gradient.map((value) => expect.closeTo(value, 6)));
  // The second sample's best is the coarsest now, which it was not by a hair's breadth before.
  expect(priced.crossEntropy).not.toBeCloseTo((await compute(logits, losses)).crossEntropy, 3);
});
