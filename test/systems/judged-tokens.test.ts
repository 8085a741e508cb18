import { describe, expect, test } from "vitest";
import {
  gatherRows,
  grad,
  initParameter,
  input,
  reshape,
  type Tensor,
} from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedRows, judgedTokens } from "../../src/systems/judged-tokens.js";
import { bool, elementCount, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { nextTokenLoss, nextTokenLossByRow } from "../../src/train/next-token-loss.js";
import { useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();
const valuesOf = (values: Readonly<Record<string, TensorData>>) =>
  Object.fromEntries(
    Object.entries(values).map(([name, { data }]) => [name, Array.from(data, Number)]),
  );

describe("the judged tokens of labels", () => {
  const labels = int64([2, 4], [7, -100, 5, 0, -100, -100, -100, 3]);

  test("stand at the place before each label; a row's first label has none", () => {
    expect(valuesOf(judgedOf(labels))).toEqual({
      places: [1, 2, 6],
      targets: [5, 0, 3],
      weights: [1, 1, 1],
      rows: [0, 0, 1],
    });
  });

  test("weigh what their labels weigh, and those of no weight are left out", () => {
    const weights = float32([2, 4], [9, 9, 0.5, 0, 9, 9, 9, 0.25]);
    expect(valuesOf(judgedOf(labels, weights))).toEqual({
      places: [1, 6],
      targets: [5, 3],
      weights: [0.5, 0.25],
      rows: [0, 1],
    });
  });

  test("are one that weighs nothing where nothing is supervised", () => {
    const none = judgedOf(int64([1, 3], [4, -100, -100]));
    expect(valuesOf(none)).toEqual({ places: [0], targets: [0], weights: [0], rows: [0] });
  });
});

const config = parseLlamaConfig({
  vocab_size: 20,
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
});
const [batch, length] = [2, 6];
const shape = [batch, length];
const params = llamaParams(new ParameterScope(), config);
const declared = listParameters(params);
const parameters = new Map(
  [...declared].map(([name, { source, shape: sides }]) => {
    if (source.kind !== "parameter") throw new Error(`${name} is no parameter`);
    const numbers = sides.map(Number);
    const values = initParameter(source.initializer, name, elementCount(numbers), 5);
    return [name, float32(numbers, values)] as const;
  }),
);
const ids = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
const labels = int64(shape, [-100, -100, 4, 1, 5, 9, -100, -100, -100, -100, 5, -100]);
const given = {
  ids: int64(shape, ids),
  positions: int64(
    shape,
    ids.map((_, place) => place % length),
  ),
  tokenMask: bool(
    shape,
    ids.map(() => true),
  ),
};
const scoresAt = (readPlaces?: Tensor): Tensor =>
  sequenceScores(
    params,
    embedTokens(params, input("ids", "int64", shape)),
    {
      positions: input("positions", "int64", shape),
      tokenMask: input("tokenMask", "bool", shape),
      tables: llamaRopeTables(config, length),
      readPlaces,
    },
    config,
  );

describe("a decoder read at the judged places alone", () => {
  test.each([false, true])(
    "has the scores, loss and gradients of one that is read everywhere (computed again: %s)",
    async (recompute) => {
      const judged = judgedTokens();
      const everywhere = gatherRows(
        reshape(scoresAt(), [batch * length, config.vocabularySize]),
        judged.places,
      );
      const [own, expected] = [scoresAt(judged.places), everywhere].map((scores) => {
        const loss = nextTokenLoss(scores, judged);
        const gradients = grad(loss, [...declared.values()], { recompute });
        return [scores, loss, ...gradients.map((gradient) => gradient as Tensor)];
      });
      const outputs = Object.fromEntries(
        own.flatMap((tensor, index) => [
          [`own.${index}`, tensor],
          [`expected.${index}`, expected[index]],
        ]),
      );
      const results = await runner.compute(
        outputs,
        { ...given, ...feedJudged(judgedOf(labels)) },
        parameters,
      );
      expect(own).toHaveLength(2 + declared.size);
      expect(results["own.0"].shape).toEqual([5, config.vocabularySize]);
      for (const index of own.keys()) {
        expectClose(results[`own.${index}`], results[`expected.${index}`], 1e-5);
      }
    },
  );

  test("has losses by row, 0 for a row without labels", async () => {
    const judged = judgedTokens();
    const { means, totals } = nextTokenLossByRow(
      scoresAt(judged.places),
      judged,
      judgedRows(),
      batch,
    );
    const judge = async (labelled: TensorData<"int64">) => {
      const values = judgedOf(labelled);
      const feeds = { ...given, ...feedJudged(values), "judged.rows": values.rows };
      return runner.compute(
        { means, totals, loss: nextTokenLoss(scoresAt(judged.places), judged) },
        feeds,
        parameters,
      );
    };
    const both = await judge(labels);
    expect(Array.from(both.totals.data, Number)).toEqual([4, 1]);
    const [first, second] = Array.from(both.means.data, Number);
    expect(Number(both.loss.data[0])).toBeCloseTo((4 * first + second) / 5, 5);
    const one = await judge(int64(shape, [-100, 1, ...new Array<number>(10).fill(-100)]));
    expect(Array.from(one.totals.data, Number)).toEqual([1, 0]);
    expect(Number(one.means.data[1])).toBe(0);
    const none = await judge(int64(shape, new Array<number>(12).fill(-100)));
    expect(Array.from(none.means.data, Number)).toEqual([0, 0]);
    expect(Number(none.loss.data[0])).toBe(0);
  });
});
