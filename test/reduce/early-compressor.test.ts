import { describe, expect, test } from "vitest";
import { OptionsError, ShapeError } from "../../src/errors.js";
import { grad, initParameter, input, multiply, sum } from "../../src/graph/index.js";
import { bidirectionalSelfAttention } from "../../src/nn/attention-block.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import {
  type CompressorVariant,
  compressorVariants,
  earlyCompressor,
  earlyCompressorParams,
} from "../../src/reduce/early-compressor.js";
import { reuseLayer } from "../../src/reduce/early-compressor-start.js";
import { elementCount, float32, type TensorData } from "../../src/tensor-data.js";
import { encoderLayer, encoderLayerParams } from "../../src/vision/encoder-layer.js";
import { drawParameters } from "../support/drawn-parameters.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();
const width = 16;
const layer = {
  width,
  mlpWidth: 24,
  numHeads: 2,
  normEpsilon: 1e-6,
  activation: "gelu_pytorch_tanh",
} as const;
const variants = Object.keys(compressorVariants) as CompressorVariant[];
const random = randomTensors(11);

const layerParams = encoderLayerParams(new ParameterScope(["layer"]), layer);
const layerValues = drawParameters(layerParams, 2);

/** The compressor's values as it starts: from the layer before it, else as declared. */
const startOf = async (variant: CompressorVariant): Promise<Map<string, TensorData>> => {
  const params = earlyCompressorParams(new ParameterScope(), { variant, layer });
  const values = new Map<string, TensorData>();
  for (const [name, { source, shape }] of listParameters(params)) {
    const sides = shape.map(Number);
    const isPlain = compressorVariants[variant].merging === "mlp" && name.startsWith("merging.");
    const value =
      isPlain && source.kind === "parameter"
        ? float32(sides, initParameter(source.initializer, name, elementCount(sides), 0))
        : await reuseLayer(
            name,
            sides,
            async (part) => layerValues.get(`layer.${part}`) as TensorData<"float32">,
          );
    values.set(name, value);
  }
  return values;
};

const compress = async (
  variant: CompressorVariant,
  tokens: TensorData<"float32">,
  values: ReadonlyMap<string, TensorData>,
  numViews = 1,
): Promise<TensorData> => {
  const params = earlyCompressorParams(new ParameterScope(), { variant, layer });
  const x = {
    tokens: input("x", "float32", tokens.shape),
    groups: [{ numViews, numTokens: tokens.shape[0] / numViews }],
    numPrefix: 0,
  };
  const { output } = await runner.compute(
    { output: earlyCompressor(params, x, { variant, layer }).tokens },
    { x: tokens },
    values,
  );
  return output;
};

const rowsOf = (tensor: TensorData, from: number, count: number): number[] =>
  Array.from(tensor.data.subarray(from * width, (from + count) * width), Number);

describe("every variant of the compressor", () => {
  test.each(variants)("%s makes one token of every four", async (variant) => {
    const output = await compress(variant, random([24, width]), await startOf(variant));
    expect(output.shape).toEqual([6, width]);
  });

  test.each(variants)("%s: what a token holds reaches its own window alone", async (variant) => {
    const values = await startOf(variant);
    const tokens = random([16, width]);
    const changed = float32(tokens.shape, tokens.data);
    const data = tokens.data.slice();
    for (let index = 5 * width; index < 6 * width; index += 1) data[index] += 0.5;
    // Two views: attention over a view must not leave it either.
    const [before, after] = [
      await compress(variant, changed, values, 2),
      await compress(variant, float32(tokens.shape, data), values, 2),
    ];
    const own = compressorVariants[variant].mixing === "view" ? [0, 1] : [1];
    for (const window of [0, 1, 2, 3]) {
      const same = rowsOf(after, window, 1).every(
        (value, index) => value === rowsOf(before, window, 1)[index],
      );
      // A query of its own is all that cross-attention takes of a token that is not the first.
      expect(same).toBe(!own.includes(window));
    }
  });

  test.each(variants)("%s: two views at once are each view alone", async (variant) => {
    const values = await startOf(variant);
    const tokens = random([16, width]);
    const both = await compress(variant, tokens, values, 2);
    for (const view of [0, 1]) {
      const own = float32(
        [8, width],
        tokens.data.subarray(view * 8 * width, (view + 1) * 8 * width),
      );
      const alone = await compress(variant, own, values);
      expectClose(alone, { shape: [2, width], data: rowsOf(both, view * 2, 2) }, 1e-6);
    }
  });

  test.each(variants)("%s: its gradient is that of finite differences", async (variant) => {
    const values = await startOf(variant);
    const params = earlyCompressorParams(new ParameterScope(), { variant, layer });
    const tokens = input("x", "float32", [8, width]);
    const weights = input("w", "float32", [2, width]);
    const x = { tokens, groups: [{ numViews: 1, numTokens: 8 }], numPrefix: 0 };
    const { tokens: output } = earlyCompressor(params, x, { variant, layer });
    const loss = sum(multiply(output, weights), [0, 1]);
    const [slope] = grad(loss, [tokens]);
    const [point, direction, w] = [random([8, width]), random([8, width]), random([2, width])];
    const at = async (step: number): Promise<number> => {
      const moved = point.data.map((value, index) => value + step * direction.data[index]);
      const feeds = { x: float32([8, width], moved), w };
      return Number((await runner.compute({ loss }, feeds, values)).loss.data[0]);
    };
    const { gradient } = await runner.compute(
      { gradient: slope as NonNullable<typeof slope> },
      // An average's slope is the same everywhere.
      variant === "average-pool" ? { w } : { x: point, w },
      values,
    );
    const along = Array.from(gradient.data, Number).reduce(
      (total, value, index) => total + value * direction.data[index],
      0,
    );
    const step = 1e-2;
    const measured = ((await at(step)) - (await at(-step))) / (2 * step);
    expect(Math.abs(measured - along)).toBeLessThan(2e-2 * Math.max(1, Math.abs(along)));
  });

  test.each(variants)("%s refuses tokens that are no windows", async (variant) => {
    await expect(compress(variant, random([6, width]), new Map())).rejects.toThrow(ShapeError);
  });
});

describe("a compressor that begins as the layer before it", () => {
  const variant = "window-attention-reused-mlp";

  test("makes of four equal tokens what the layer makes of one alone", async () => {
    const token = random([1, width]);
    const window = float32(
      [4, width],
      [0, 1, 2, 3].flatMap(() => Array.from(token.data)),
    );
    const output = await compress(variant, window, await startOf(variant));
    const x = input("x", "float32", [1, 1, width]);
    const { alone } = await runner.compute(
      {
        alone: encoderLayer(
          layerParams,
          x,
          (attention, normed) => bidirectionalSelfAttention(attention, normed, layer.numHeads),
          layer,
        ),
      },
      { x: float32([1, 1, width], token.data) },
      layerValues,
    );
    expectClose(output, { shape: [1, width], data: Array.from(alone.data, Number) }, 1e-6);
  });

  test("does not see the order of a window's tokens; a trained one does", async () => {
    const window = random([4, width]);
    const swapped = float32(
      [4, width],
      [2, 0, 3, 1].flatMap((row) => rowsOf(window, row, 1)),
    );
    const start = await startOf(variant);
    const params = earlyCompressorParams(new ParameterScope(), { variant, layer });
    const trained = drawParameters(params, 9);
    expectClose(
      await compress(variant, swapped, start),
      await compress(variant, window, start),
      1e-6,
    );
    const [one, other] = [
      await compress(variant, window, trained),
      await compress(variant, swapped, trained),
    ];
    expect(rowsOf(one, 0, 1)).not.toEqual(rowsOf(other, 0, 1));
  });

  test("is asked for where a layer cannot give it: a typed error", async () => {
    const read = async () => random([3, 3]);
    await expect(reuseLayer("merging.other", [3], read)).rejects.toThrow(OptionsError);
    // A plain MLP is 4d wide inside; four of the layer's are not.
    await expect(reuseLayer("merging.up.weight", [64, 64], read)).rejects.toThrow(OptionsError);
  });
});
