/** A training step: loss, gradients, clipping and AdamW on a decoder that reads vision tokens before its text. */
import { estimateGraphCost, matrixFlops } from "../src/cost/graph-cost.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { concat, initParameter, inMemoryParameters, input } from "../src/graph/index.js";
import { sequenceScores } from "../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import {
  best,
  bestRatio,
  measureRounds,
  median,
  medianRatio,
  repeat,
} from "../src/measure/rounds.node.js";
import { listParameters, ParameterScope } from "../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../src/systems/judged-tokens.js";
import { placesOf } from "../src/systems/labelled-batch.js";
import { bool, elementCount, float32, int64 } from "../src/tensor-data.js";
import { createFeeder } from "../src/train/batch-feeder.js";
import { nextTokenLoss } from "../src/train/next-token-loss.js";
import { trainStepGraph } from "../src/train/step-graph.js";
import { Trainer } from "../src/train/train-step.js";
import { projector, projectorParams } from "../src/vision/projector.js";
import { gemmFlops, listGemms, openBareGemm } from "./bare-gemm.js";
import { openPytorch } from "./peers/pytorch-peer.js";
import { randomFloats } from "./random-weights.js";
import { type Figure, note, printReport } from "./report.js";
import { openSceneBatches } from "./scene-batches.js";

const rounds = 7;
/** Steps with data loading beside them. */
const fedSteps = 20;
const [batch, visual, text] = [8, 144, 112];
const length = visual + text;
const config = parseLlamaConfig({
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 8,
});

/** The model's parameters, fed where `isFed` says so. */
const declare = (isFed: (name: string) => boolean) => {
  const scope = new ParameterScope([], isFed);
  const { width } = config;
  return {
    projector: projectorParams(scope.child("projector"), {
      inWidth: width,
      outWidth: width,
      numLayers: 2,
    }),
    language: llamaParams(scope.child("language"), config),
  };
};
const state = new Map(
  [...listParameters(declare(() => false))].map(([name, { source, shape }]) => {
    if (source.kind !== "parameter") throw new Error(`train-step: ${name} is no parameter`);
    const sides = shape.map(Number);
    return [
      name,
      float32(sides, initParameter(source.initializer, name, elementCount(sides), 1)),
    ] as const;
  }),
);
const params = declare((name) => state.has(name));
const judged = judgedTokens();
const scores = sequenceScores(
  params.language,
  concat(
    [
      projector(params.projector, input("features", "float32", [batch, visual, config.width])),
      embedTokens(params.language, input("ids", "int64", [batch, text])),
    ],
    1,
  ),
  {
    positions: input("positions", "int64", [batch, length]),
    tokenMask: input("tokenMask", "bool", [batch, length]),
    tables: llamaRopeTables(config, length),
    readPlaces: judged.places,
  },
  config,
);
const loss = nextTokenLoss(scores, judged);
const idsOf = (row: number): number[] =>
  Array.from({ length: text }, (_, place) => (row * 131 + place * 17) % config.vocabularySize);
const rows = Array.from({ length: batch }, (_, row) => idsOf(row));
const feeds = {
  features: float32([batch, visual, config.width], randomFloats(batch * visual * config.width, 2)),
  ids: int64([batch, text], rows.flat()),
  positions: placesOf(batch, length),
  tokenMask: bool([batch, length], new Array<boolean>(batch * length).fill(true)),
  ...feedJudged(
    judgedOf(
      int64(
        [batch, length],
        rows.flatMap((row) => [...new Array<number>(visual).fill(-100), ...row]),
      ),
    ),
  ),
};

const engine = createNodeEngine();
const options = {
  groups: [{ name: "all", parameters: [...state.keys()], weightDecay: 0.01 }],
  maxGradientNorm: 1,
};
const frozen = inMemoryParameters(new Map());
const trainer = await Trainer.create(engine, options, { state, frozen });
const step = await trainer.openStep(loss);
// Loss and gradients alone: added up within the engine, and not applied.
const accumulation = await trainer.openAccumulation(loss);
const graph = trainStepGraph(loss, options);
const bindings = { J: batch * (text - 1) };
const flops = matrixFlops(estimateGraphCost(graph, bindings));
const parameters = [...state.values()].reduce((sum, { data }) => sum + data.length, 0);

const gemms = await Promise.all(
  listGemms(graph, bindings).map(async (shape) => ({ shape, gemm: await openBareGemm(shape) })),
);
const peer = await openPytorch("train", engine.threads);
let bestRate = 0;
const { times, shareOfOthers } = await measureRounds(
  {
    step: async () => {
      await step.run(feeds, { all: 1e-4 });
      return undefined;
    },
    gradients: async () => {
      await accumulation.run(feeds, 1);
      return undefined;
    },
    pytorch: "run" in peer ? () => peer.run() : () => ({ milliseconds: Number.NaN }),
    // What the step's products would take at the rate of the best single shape.
    gemm: async () => {
      let rate = 0;
      for (const { shape, gemm } of gemms) {
        rate = Math.max(rate, gemmFlops(shape) / (await repeat(gemm.run, 5)) / 1e6);
      }
      bestRate = Math.max(bestRate, rate);
      return { milliseconds: flops / rate / 1e6 };
    },
  },
  rounds,
  (round, ms) =>
    note(
      `train-step round ${round}/${rounds}: ${ms.step.toFixed(0)} ms, gradients ${ms.gradients.toFixed(0)}, PyTorch ${ms.pytorch.toFixed(0)}, at the best Gemm's rate ${ms.gemm.toFixed(0)}`,
    ),
);
if ("close" in peer) peer.close();

// Batches of scenes are drawn, decoded and tokenised while the step before them is at work.
const data = await openSceneBatches(batch, 96, visual);
const nextBatch = createFeeder(data, fedSteps + 1);
await nextBatch();
let [waitedMs, fedMs] = [0, 0];
for (let taken = 0; taken < fedSteps; taken += 1) {
  const startedMs = performance.now();
  await nextBatch();
  waitedMs += performance.now() - startedMs;
  await step.run(feeds, { all: 1e-4 });
  fedMs += performance.now() - startedMs;
}
await data.close();

const figures: Figure[] = [
  {
    name: "rate against the best bare Gemm",
    value: bestRatio(times.gemm, times.step),
    unit: "x",
    target: { atLeast: 0.6 },
  },
  { name: "the same, median of rounds", value: medianRatio(times.gemm, times.step), unit: "x" },
  ...("run" in peer
    ? [
        {
          name: "faster than PyTorch",
          value: bestRatio(times.pytorch, times.step),
          unit: "x",
          target: { atLeast: 3 },
        } as const,
      ]
    : []),
  {
    // Of both, what is left of each step: copying sums out is part of the gradients' time here.
    name: "optimiser, of a step",
    value: 1 - best(times.gradients) / best(times.step),
    unit: "x",
    target: { below: 0.1 },
  },
  {
    name: "waiting for data, of a step",
    value: waitedMs / fedMs,
    unit: "x",
    target: { below: 0.05 },
  },
  { name: "time", value: best(times.step), unit: "ms" },
  { name: "time, median of rounds", value: median(times.step), unit: "ms" },
  { name: "matrix products", value: flops / 1e9, unit: "GFLOP" },
  { name: "rate", value: flops / best(times.step) / 1e6, unit: "GFLOP/s" },
  { name: "best bare Gemm, best round", value: bestRate, unit: "GFLOP/s" },
  { name: "parameters", value: parameters / 1e6, unit: "M" },
];
printReport({
  benchmark: "train-step",
  about: `${(parameters / 1e6).toFixed(1)} M parameters, ${batch} samples of ${visual} vision and ${text} text tokens`,
  setting: {
    provider: "cpu",
    threads: engine.threads,
    rounds,
    ...("run" in peer && { peer: peer.described }),
  },
  figures,
  shareOfOthers,
  ...("missing" in peer && { skipped: [peer.missing] }),
});
for (const { gemm } of gemms) await gemm.close();
await step.close();
await accumulation.close();
await trainer.close();
await engine.close();
