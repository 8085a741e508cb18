import { describe, expect, test } from "vitest";
import { estimateActivationBytes } from "../../src/cost/activation-bytes.js";
import { createGraph, input } from "../../src/graph/index.js";
import { Taps } from "../../src/nn/taps.js";
import { textFilter } from "../../src/reduce/text-filter.js";
import { bool, float32, type TensorData } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();

/** The published form: for every text token the mean, over the patches, of its cosine with each. */
const scoreByPairs = (patches: TensorData, text: TensorData): number[] => {
  const rowsOf = ({ data, shape }: TensorData): number[][] => {
    const width = shape[shape.length - 1];
    return Array.from({ length: data.length / width }, (_, row) =>
      Array.from(data.slice(row * width, (row + 1) * width), Number),
    );
  };
  const lengthOf = (row: readonly number[]) => Math.max(Math.hypot(...row), 1e-8);
  const vision = rowsOf(patches);
  return rowsOf(text).map((token) => {
    const cosines = vision.map(
      (patch) =>
        patch.reduce((sum, value, d) => sum + value * token[d], 0) /
        (lengthOf(patch) * lengthOf(token)),
    );
    return cosines.reduce((sum, cosine) => sum + cosine, 0) / cosines.length;
  });
};

const filter = async (
  patches: TensorData<"float32">,
  text: TensorData<"float32">,
  count: number,
  mask?: readonly boolean[],
) => {
  const taps = Taps.create();
  const [batch, length] = text.shape;
  const { text: filtered } = textFilter(
    {
      patches: input("patches", "float32", patches.shape),
      text: input("text", "float32", text.shape),
      ...(mask && { textMask: input("mask", "bool", [batch, length]) }),
    },
    count,
    taps,
  );
  const results = await runner.compute(
    { filtered, ...Object.fromEntries(taps.tensors) },
    { patches, text, ...(mask && { mask: bool([batch, length], mask) }) },
  );
  return {
    filtered: results.filtered,
    scores: Array.from(results.scores.data, Number),
    selected: Array.from(results.selected.data, Number),
  };
};

const rowsAt = (text: TensorData<"float32">, places: readonly (number | undefined)[]) => {
  const width = text.shape[2];
  return float32(
    [1, places.length, width],
    places.flatMap((place) =>
      place === undefined
        ? new Array<number>(width).fill(0)
        : Array.from(text.data.slice(place * width, (place + 1) * width)),
    ),
  );
};

describe("the text filter", () => {
  test("keeps the tokens with the largest mean cosine, best first, of 2,000 text tokens too", async () => {
    const draw = randomTensors(5);
    const [patches, text] = [draw([1, 64, 24]), draw([1, 2000, 24])];
    const { filtered, scores, selected } = await filter(patches, text, 32);
    const expected = scoreByPairs(patches, text);
    expectClose(float32([2000], scores), float32([2000], expected), 1e-5);
    const best = expected
      .map((score, place) => ({ score, place }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 32)
      .map(({ place }) => place);
    expect(selected).toEqual(best);
    expectClose(filtered, rowsAt(text, best), 0);
  });

  test("fills up with zero rows where there are fewer tokens, and never with masked ones", async () => {
    const draw = randomTensors(6);
    const [patches, text] = [draw([1, 9, 8]), draw([1, 5, 8])];
    const mask = [true, false, true, true, false];
    const { filtered } = await filter(patches, text, 6, mask);
    const scores = scoreByPairs(patches, text);
    const seen = [0, 2, 3].sort((a, b) => scores[b] - scores[a]);
    expectClose(filtered, rowsAt(text, [...seen, undefined, undefined, undefined]), 0);
  });

  test("of a batch is that of each sample alone", async () => {
    const draw = randomTensors(7);
    const [patches, text] = [draw([2, 9, 8]), draw([2, 6, 8])];
    const mask = [true, true, false, true, true, true, true, true, true, true, false, false];
    const both = await filter(patches, text, 4, mask);
    const half = (tensor: TensorData<"float32">, sample: number) =>
      float32(
        [1, ...tensor.shape.slice(1)],
        tensor.data.slice(
          (sample * tensor.data.length) / 2,
          ((sample + 1) * tensor.data.length) / 2,
        ),
      );
    for (const sample of [0, 1]) {
      const alone = await filter(
        half(patches, sample),
        half(text, sample),
        4,
        mask.slice(6 * sample, 6 * (sample + 1)),
      );
      expectClose(half(both.filtered as TensorData<"float32">, sample), alone.filtered, 0);
    }
  });

  test("takes zero vectors for unlike everything, and makes no NaN of them", async () => {
    const patches = float32([1, 4, 8], new Float32Array(32));
    const text = randomTensors(8)([1, 5, 8]);
    const { filtered, scores } = await filter(patches, text, 3);
    expect(scores).toEqual([0, 0, 0, 0, 0]);
    expectClose(filtered, rowsAt(text, [0, 1, 2]), 0);
  });

  test("takes memory that grows with patches + tokens, not with their product", () => {
    const [width, kept] = [4096, 32];
    const bytesOf = (numPatches: number, numTokens: number): number => {
      const { text } = textFilter(
        {
          patches: input("patches", "float32", [1, numPatches, width]),
          text: input("text", "float32", [1, numTokens, width]),
        },
        kept,
      );
      return estimateActivationBytes(createGraph("filter", { filtered: text }));
    };
    const bytes = bytesOf(576, 2000);
    // A few values of the size of what is read; the product would be 18.9 GB.
    expect(bytes).toBeLessThan(4 * 4 * width * (576 + 2000 + kept));
    expect(bytesOf(576, 4000) - bytes).toBeLessThanOrEqual(4 * 4 * width * 2000);
    expect(bytesOf(1152, 2000) - bytes).toBeLessThanOrEqual(4 * 4 * width * 576);
  });
});
