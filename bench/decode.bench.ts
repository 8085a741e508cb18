/** One token at a time through a float32 decoder of 645 M parameters: as fast as memory is read? */
import { estimateGraphCost } from "../src/cost/graph-cost.js";
import { createDecoder } from "../src/generate/decoder.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { decoderGraph } from "../src/language/decoder-graph.js";
import { llamaParams } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import { measureRounds, median, medianRatio, repeat } from "../src/measure/rounds.node.js";
import { listParameters, ParameterScope } from "../src/nn/parameter-scope.js";
import { elementCount } from "../src/tensor-data.js";
import { type BareGemm, openBareGemm } from "./bare-gemm.js";
import { openMemoryRead } from "./memory-read.js";
import { openPytorch } from "./peers/pytorch-peer.js";
import { createRandomWeights } from "./random-weights.js";
import { note, printReport } from "./report.js";

const rounds = 9;
const repeats = 5;
const numPast = 576;
/** Places of the cache: room for an answer of 64 tokens, as a conversation reserves it. */
const capacity = 640;
const config = parseLlamaConfig({
  vocab_size: 32_000,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 10,
  num_attention_heads: 16,
});
const engine = createNodeEngine();
note("decode: writing 2.6 GB of random weights");
const weights = await createRandomWeights(2.65e9);

const params = llamaParams(new ParameterScope(), config);
const numParameters = [...listParameters(params).values()].reduce(
  (sum, { shape }) => sum + elementCount(shape.map(Number)),
  0,
);
const source = weights.source();
const decoder = await createDecoder(engine, (graph) => engine.open(graph, source), params, config, {
  contextLength: capacity,
});
const cache = await decoder.createCache(1, capacity);
const prompt = Array.from(
  { length: numPast },
  (_, place) => (place * 7919) % config.vocabularySize,
);
await decoder.prefill(cache, 0, await decoder.embed(prompt));

// Every weight of a linear layer is used once a token: its bytes follow from the multiply-adds.
const cost = estimateGraphCost(decoderGraph(params, config, capacity), {
  B: 1,
  T: 1,
  S: numPast + 1,
});
const readBytes = 4 * cost.linear;
const cacheBytes = 4 * cost.attention;

/** One matrix of over 500 MB times a vector, in the widths of the decoder. */
const matrices = [config.width, config.mlpWidth, config.numHeads * 256].map((inWidth) => ({
  rows: 1,
  inWidth,
  outWidth: Math.ceil(540e6 / 4 / inWidth),
}));
const products: { numBytes: number; isMapped: boolean; gemm: BareGemm }[] = [];
for (const shape of matrices) {
  const numBytes = 4 * shape.inWidth * shape.outWidth;
  products.push({ numBytes, isMapped: false, gemm: await openBareGemm(shape) });
  products.push({ numBytes, isMapped: true, gemm: await openBareGemm(shape, weights.source()) });
}
const memory = openMemoryRead(640e6);
const peer = await openPytorch("decode", engine.threads);

const gigabytesPerSecond = (numBytes: number, ms: number): number => numBytes / ms / 1e6;
/** Milliseconds that the decoder's bytes would take at the rate of the best of these products. */
const measureProducts = async (some: typeof products): Promise<number> => {
  let fastest = 0;
  for (const { numBytes, gemm } of some) {
    fastest = Math.max(fastest, gigabytesPerSecond(numBytes, await repeat(gemm.run, 3)));
  }
  return readBytes / fastest / 1e6;
};

const { times, shareOfOthers } = await measureRounds(
  {
    product: async () => ({ milliseconds: await measureProducts(products) }),
    mapped: async () => ({
      milliseconds: await measureProducts(products.filter(({ isMapped }) => isMapped)),
    }),
    decoder: async () => ({
      milliseconds: await repeat(() => {
        cache.lengths[0] = numPast; // every step sees as many tokens
        return decoder.step(cache, [11]);
      }, repeats),
    }),
    memory: async () => ({
      milliseconds: (readBytes / memory.numBytes) * (await repeat(memory.run, 3)),
    }),
    pytorch: () => ("run" in peer ? peer.run(repeats) : { milliseconds: Number.NaN }),
  },
  rounds,
  (round, ms) =>
    note(
      `decode round ${round}/${rounds}: ${ms.decoder.toFixed(1)} ms a token; at the rate of the best matrix-vector product ${ms.product.toFixed(1)}, of reading memory ${ms.memory.toFixed(1)}; PyTorch ${ms.pytorch.toFixed(1)}`,
    ),
);
if ("close" in peer) peer.close();
await memory.close();
for (const { gemm } of products) await gemm.close();

const rate = (ms: readonly number[]): number => gigabytesPerSecond(readBytes, median(ms));
printReport({
  benchmark: "decode",
  about: `one token through a float32 decoder after ${numPast} others`,
  setting: {
    provider: "cpu",
    threads: engine.threads,
    rounds,
    layers: config.numLayers,
    width: config.width,
    mlp: config.mlpWidth,
    vocabulary: config.vocabularySize,
    capacity,
    ...("run" in peer && { peer: peer.described }),
  },
  shareOfOthers,
  figures: [
    {
      name: "bandwidth against the best matrix-vector product",
      value: medianRatio(times.product, times.decoder),
      unit: "x",
      target: { atLeast: 0.7 },
    },
    {
      name: "against the best one with a mapped weight, as ours are",
      value: medianRatio(times.mapped, times.decoder),
      unit: "x",
    },
    {
      name: "bandwidth against plain reading of memory",
      value: medianRatio(times.memory, times.decoder),
      unit: "x",
    },
    ...("run" in peer
      ? [
          {
            name: "faster than PyTorch",
            value: medianRatio(times.pytorch, times.decoder),
            unit: "x",
          } as const,
        ]
      : []),
    { name: "time of a token", value: median(times.decoder), unit: "ms" },
    { name: "parameters", value: numParameters / 1e6, unit: "M" },
    { name: "weights read for a token", value: readBytes / 1e6, unit: "MB" },
    { name: "cache read for a token, not counted", value: cacheBytes / 1e6, unit: "MB" },
    { name: "decoder", value: rate(times.decoder), unit: "GB/s" },
    { name: "best matrix-vector product", value: rate(times.product), unit: "GB/s" },
    { name: "best one with a mapped weight", value: rate(times.mapped), unit: "GB/s" },
    { name: "plain reading of memory", value: rate(times.memory), unit: "GB/s" },
  ],
  ...("missing" in peer && { skipped: [peer.missing] }),
});
await engine.close();
