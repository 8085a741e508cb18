import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ContextOverflowError, OptionsError } from "../../src/errors.js";
import { createDecoder, type Decoder } from "../../src/generate/decoder.js";
import { createGraph, initParameter, inMemoryParameters, input } from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { bool, elementCount, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();
const config = parseLlamaConfig({
  vocab_size: 50,
  hidden_size: 36,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 3,
  max_position_embeddings: 64,
});
const params = llamaParams(new ParameterScope(), config);
const values = new Map<string, TensorData>();
for (const [name, { source, shape }] of listParameters(params)) {
  if (source.kind !== "parameter") continue;
  const sides = shape.map(Number);
  values.set(name, float32(sides, initParameter(source.initializer, name, elementCount(sides), 1)));
}
const parameters = inMemoryParameters(values);

const openDecoder = (prefillChunk: number): Promise<Decoder> =>
  createDecoder(
    runner.engine(),
    (graph) => runner.engine().open(graph, parameters),
    params,
    config,
    { contextLength: 40, prefillChunk },
  );

/** Scores at every place of a row, by the full forward pass without a cache. */
const fullScores = async (ids: readonly number[]): Promise<Float32Array[]> => {
  const scores = sequenceScores(
    params,
    embedTokens(params, input("ids", "int64", ["B", "T"])),
    {
      positions: input("positions", "int64", ["B", "T"]),
      tokenMask: input("mask", "bool", ["B", "T"]),
      tables: llamaRopeTables(config, 40),
    },
    config,
  );
  const session = await runner.engine().open(createGraph("full", { scores }), parameters);
  const shape = [1, ids.length];
  const results = await session.run({
    ids: int64(shape, ids),
    positions: int64(shape, [...ids.keys()]),
    mask: bool(
      shape,
      ids.map(() => true),
    ),
  });
  await session.close();
  const data = results.scores.data as Float32Array;
  const width = config.vocabularySize;
  return ids.map((_, place) => data.subarray(place * width, (place + 1) * width));
};
const row = (scores: Float32Array): TensorData => float32([scores.length], scores);

describe("the cached decoder", () => {
  test("in chunks of any size, for rows of unequal lengths side by side, equals the full forward", async () => {
    const id = fc.nat(config.vocabularySize - 1);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(id, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 }),
        fc.array(fc.array(fc.option(id, { nil: undefined }), { minLength: 3, maxLength: 3 }), {
          maxLength: 4,
        }),
        fc.integer({ min: 1, max: 13 }),
        async (prompts, steps, chunk) => {
          const decoder = await openDecoder(chunk);
          const cache = await decoder.createCache(prompts.length, 20);
          const read = prompts.map((prompt) => [...prompt]);
          const seen = new Map<string, Float32Array>();
          for (const [index, prompt] of prompts.entries()) {
            const scores = await decoder.prefill(cache, index, await decoder.embed(prompt));
            seen.set(`${index} ${prompt.length - 1}`, scores);
          }
          // Each step gives a token to some rows and leaves the others as they are.
          for (const step of steps) {
            const tokens = step.slice(0, prompts.length);
            const scores = await decoder.step(cache, tokens);
            tokens.forEach((token, index) => {
              if (token === undefined) return;
              read[index].push(token);
              seen.set(`${index} ${read[index].length - 1}`, scores[index]);
            });
          }
          expect(cache.lengths).toEqual(read.map((ids) => ids.length));
          for (const [index, ids] of read.entries()) {
            const full = await fullScores(ids);
            full.forEach((scores, place) => {
              const cached = seen.get(`${index} ${place}`);
              if (cached !== undefined) expectClose(row(cached), row(scores));
            });
          }
          await decoder.releaseCache(cache);
        },
      ),
      { numRuns: 12 },
    );
  });

  test("keeps what it holds when its memory grows", async () => {
    const decoder = await openDecoder(8);
    const prompts = [
      [3, 1, 4, 1, 5],
      [9, 2],
    ];
    const grown = await decoder.createCache(2, 6);
    for (const [index, ids] of prompts.entries()) {
      await decoder.prefill(grown, index, await decoder.embed(ids));
    }
    const large = await decoder.growCache(grown, 30);
    expect([large.capacity, large.lengths]).toEqual([30, [5, 2]]);
    const scores = await decoder.step(large, [7, 8]);
    for (const [index, ids] of prompts.entries()) {
      const full = await fullScores([...ids, 7 + index]);
      expectClose(row(scores[index]), row(full[ids.length]));
    }
    expect(await decoder.growCache(large, 10)).toBe(large);
    await decoder.releaseCache(large);
  });

  test("refuses what does not fit, and stays as it was", async () => {
    const decoder = await openDecoder(8);
    await expect(decoder.createCache(1, 41)).rejects.toThrow(ContextOverflowError);
    const cache = await decoder.createCache(1, 4);
    const five = await decoder.embed([1, 2, 3, 4, 5]);
    await expect(decoder.prefill(cache, 0, five)).rejects.toThrow(/5 tokens do not fit into .* 4/);
    expect(cache.lengths).toEqual([0]);
    await decoder.prefill(cache, 0, await decoder.embed([1, 2, 3, 4]));
    await expect(decoder.step(cache, [5])).rejects.toThrow(ContextOverflowError);
    expect(cache.lengths).toEqual([4]);
    await expect(decoder.embed([50])).rejects.toThrow(OptionsError);
    await expect(decoder.embed([-200])).rejects.toThrow(/within 0\.\.49, got -200/);
    await expect(openDecoder(0)).rejects.toThrow(/prefillChunk must be 1 or more/);
    await decoder.releaseCache(cache);
  });
});
