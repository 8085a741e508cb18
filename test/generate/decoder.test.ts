import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ContextOverflowError, OptionsError } from "../../src/errors.js";
import { createDecoder, type Decoder } from "../../src/generate/decoder.js";
import { PrefixCache } from "../../src/generate/prefix-cache.js";
import { createGraph, initParameter, inMemoryParameters, input } from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { type LlamaConfig, parseLlamaConfig } from "../../src/language/llama-config.js";
import { parseDecoderConfig } from "../../src/language/qwen.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { bool, elementCount, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();

/** A decoder of random weights, and its scores without a cache. */
const tinyDecoder = (config: LlamaConfig) => {
  const params = llamaParams(new ParameterScope(), config);
  const values = new Map<string, TensorData>();
  for (const [name, { source, shape }] of listParameters(params)) {
    if (source.kind !== "parameter") continue;
    const sides = shape.map(Number);
    const first = initParameter(source.initializer, name, elementCount(sides), 1);
    values.set(name, float32(sides, first));
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
  return { config, openDecoder, fullScores };
};

const fields = {
  vocab_size: 50,
  hidden_size: 36,
  intermediate_size: 40,
  num_hidden_layers: 2,
  num_attention_heads: 6,
  num_key_value_heads: 3,
  max_position_embeddings: 64,
};
const attending = tinyDecoder(parseLlamaConfig(fields));
/** Three layers of a recurrence, one of attention. */
const recurrent = tinyDecoder(
  parseDecoderConfig(
    {
      ...fields,
      model_type: "qwen3_5_text",
      num_hidden_layers: 4,
      head_dim: 16,
      linear_num_key_heads: 2,
      linear_num_value_heads: 4,
      linear_key_head_dim: 6,
      linear_value_head_dim: 10,
    },
    "qwen3",
  ),
);
const row = (scores: Float32Array): TensorData => float32([scores.length], scores);

describe.each([
  ["keys and values", attending],
  ["recurrent states", recurrent],
])("the decoder that keeps %s", (_name, { config, openDecoder, fullScores }) => {
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

describe("a recurrent state", () => {
  const { openDecoder, fullScores } = recurrent;
  const prompt = [5, 4, 3, 2, 1, 6, 7];

  test("is copied whole or not at all", async () => {
    const decoder = await openDecoder(4);
    expect(decoder.canRewind).toBe(false);
    const [from, to] = [await decoder.createCache(2, 12), await decoder.createCache(2, 20)];
    await decoder.prefill(from, 1, await decoder.embed(prompt));
    await expect(decoder.copyRow(from, 1, to, 0, 3)).rejects.toThrow(OptionsError);
    await decoder.copyRow(from, 1, to, 0);
    const [scores] = await decoder.step(to, [8]);
    expectClose(row(scores), row((await fullScores([...prompt, 8]))[prompt.length]));
    await decoder.releaseCache(from);
    await decoder.releaseCache(to);
  });

  test("is forgotten by a sequence that begins anew", async () => {
    const decoder = await openDecoder(4);
    const cache = await decoder.createCache(1, 12);
    await decoder.prefill(cache, 0, await decoder.embed([9, 9, 9]));
    cache.lengths[0] = 0;
    const scores = await decoder.prefill(cache, 0, await decoder.embed(prompt));
    expectClose(row(scores), row((await fullScores(prompt))[prompt.length - 1]));
    await decoder.releaseCache(cache);
  });

  test("of an earlier prompt is taken over by one that continues all of it, and by no other", async () => {
    const decoder = await openDecoder(8);
    const prompts = new PrefixCache(decoder, recurrent.config.width, { maxBytes: 1e9 });
    const long = Array.from({ length: 20 }, (_, place) => (7 * place) % 50);
    const ask = async (ids: readonly number[]): Promise<number> => {
      const embeddings = await decoder.embed(ids);
      const { cache, cachedTokens, rest } = await prompts.open(embeddings);
      const scores = await decoder.prefill(cache, 0, rest);
      expectClose(row(scores), row((await fullScores(ids))[ids.length - 1]));
      await prompts.keep(cache, embeddings, []);
      return cachedTokens;
    };
    expect(await ask(long)).toBe(0);
    expect(await ask([...long.slice(0, 18), 1, 2, 3])).toBe(0);
    expect(await ask([...long, 1, 2, 3])).toBe(20);
    await prompts.release();
  });
});
