/**
 * Decoding several sequences of an embedded model together: what a step costs, by how many share it, and how many tokens
 * a second that makes.
 *
 *   npm run bench -- batched-decoding
 *   SACCADE_BENCH_MODEL=llava-scenes npm run bench -- batched-decoding
 */
import { createDecoder } from "../src/generate/decoder.js";
import { createSequenceBatch, type SequenceWriter } from "../src/generate/sequence-batch.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { llamaNames, llamaParams } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import { locateForEngine } from "../src/load/located-tensors.node.js";
import { locateParameters } from "../src/load/parameter-source.js";
import { measureRounds, median } from "../src/measure/rounds.node.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { openModelFolder } from "../src/weights/model-folder.node.js";
import { createRenameTable } from "../src/weights/rename.js";
import { note, printReport } from "./report.js";

const rounds = 7;
const promptTokens = 40;
const answerTokens = 96;
const capacity = 192;
const togetherTarget = 8;

const name = process.env.SACCADE_BENCH_MODEL ?? "llava-mini-scenes";
const folder = await openModelFolder(name, { offline: true });
const config = parseLlamaConfig(folder.config);
const params = llamaParams(new ParameterScope(), config);
const parameters = locateParameters(
  params,
  await locateForEngine(folder.tensors),
  createRenameTable(llamaNames),
  // The decoder alone: what sees is not opened.
  { ignore: [/./] },
);
const engine = createNodeEngine();
const decoder = await createDecoder(
  engine,
  (graph) => engine.open(graph, parameters),
  params,
  config,
  { contextLength: capacity },
);
const batch = createSequenceBatch(decoder);
const prompt = await decoder.embed(
  Array.from({ length: promptTokens }, (_, place) => (place * 37) % config.vocabularySize),
);

/** Takes the likeliest token, and never the end: every sequence is as long as the others. */
const createWriter = (): SequenceWriter => {
  let taken = 0;
  return {
    take: (scores) => {
      taken += 1;
      return { id: scores.indexOf(Math.max(...scores)), text: "", isLast: taken === answerTokens };
    },
  };
};

/** Continues `numSequences` prompts of the same length together; the prompts are no part of the time. */
const decodeTogether = async (numSequences: number): Promise<{ readonly milliseconds: number }> => {
  const started = await Promise.all(
    Array.from({ length: numSequences }, async () => {
      const cache = await decoder.createCache(1, capacity);
      return { cache, scores: await decoder.prefill(cache, 0, prompt) };
    }),
  );
  const startedMs = performance.now();
  await Promise.all(
    started.map(async ({ cache, scores }) => {
      const run = batch.continueSequence(cache, scores, createWriter());
      for await (const _ of run.tokens);
      const own = await run.cache;
      if (own) await decoder.releaseCache(own);
    }),
  );
  return { milliseconds: performance.now() - startedMs };
};

const sizes = [1, 2, 4, 8, 16, 32] as const;
const { times, shareOfOthers } = await measureRounds(
  Object.fromEntries(sizes.map((size) => [`${size}`, () => decodeTogether(size)])) as Record<
    `${(typeof sizes)[number]}`,
    () => ReturnType<typeof decodeTogether>
  >,
  rounds,
  (round, ms) =>
    note(
      `batched-decoding round ${round}/${rounds}: ${sizes.map((size) => `${size}: ${((1000 * size * answerTokens) / ms[`${size}`]).toFixed(0)}`).join(", ")} tokens/s`,
    ),
);
const tokensPerSecond = (size: (typeof sizes)[number]): number =>
  (1000 * size * answerTokens) / median(times[`${size}`]);

printReport({
  benchmark: "batched-decoding",
  about: `answers of ${answerTokens} tokens after prompts of ${promptTokens}, decoded one at a time and together`,
  setting: {
    model: name,
    provider: "cpu",
    threads: engine.threads,
    rounds,
    layers: config.numLayers,
    width: config.width,
  },
  shareOfOthers,
  figures: [
    {
      name: `throughput of ${togetherTarget} together against one at a time`,
      value: tokensPerSecond(togetherTarget) / tokensPerSecond(1),
      unit: "x",
      target: { atLeast: 1.5 },
    },
    ...sizes.map(
      (size) => ({ name: `${size} together`, value: tokensPerSecond(size), unit: "1/s" }) as const,
    ),
    ...sizes.map(
      (size) =>
        ({
          name: `a step of ${size}`,
          value: median(times[`${size}`]) / (answerTokens - 1),
          unit: "ms",
        }) as const,
    ),
  ],
});
await engine.close();
