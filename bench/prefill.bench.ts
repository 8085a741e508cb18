/** A prompt of 576 tokens through decoder layers of Llama-7B's shape, caches filled. */
import { createNodeEngine } from "../src/graph/engine.node.js";
import {
  createGraph,
  dim,
  input,
  type Placement,
  type Resident,
  slice,
  type Tensor,
} from "../src/graph/index.js";
import { llamaCacheShape } from "../src/language/layer-cache.js";
import { llama, llamaParams, llamaRopeTables } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { float32, int64 } from "../src/tensor-data.js";
import { measureAgainstGemm } from "./against-gemm.js";
import { createRandomWeights, randomFloats } from "./random-weights.js";
import { note, printReport } from "./report.js";

const numTokens = 576;
const config = parseLlamaConfig({
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 2,
  num_attention_heads: 32,
});
const engine = createNodeEngine();
note("prefill: writing 1.6 GB of random weights");
const weights = await createRandomWeights(1.65e9);

const layers = Array.from({ length: config.numLayers }, (_, layer) => layer);
const shape = llamaCacheShape(config, dim("B"), dim("S"));
const { hidden, newRows } = llama(
  llamaParams(new ParameterScope(), config),
  input("embeddings", "float32", ["B", "T", config.width]),
  {
    kind: "cached",
    positions: input("positions", "int64", ["B", "T"]),
    tables: llamaRopeTables(config, numTokens),
    caches: layers.map((layer) => ({
      key: input(`past.${layer}.key`, "float32", shape),
      value: input(`past.${layer}.value`, "float32", shape),
    })),
    lastIndex: input("lastIndex", "int32", ["B"]),
    totalLength: input("totalLength", "int32", [1]),
  },
  config,
);
// One row is fetched: bringing all of them out of the engine is no part of a prefill.
const outputs: Record<string, Tensor> = { first: slice(hidden, 1, 0, 1) };
for (const [layer, rows] of newRows.entries()) {
  for (const [name, tensor] of Object.entries(rows)) outputs[`rows.${layer}.${name}`] = tensor;
}
const graph = createGraph("prefill", outputs);
const session = await engine.open(graph, weights.source());

const bindings = { B: 1, T: numTokens, S: numTokens };
const [, numHeads, , headWidth] = llamaCacheShape(config, 1, numTokens).map(Number);
const headElements = numTokens * headWidth;
const layout = {
  numBlocks: numHeads,
  blockElements: headElements,
  fromStride: headElements,
  toStride: headElements,
};
const past: Record<string, Resident> = {};
const place: Placement[] = [];
for (const layer of layers) {
  for (const part of ["key", "value"]) {
    const to = await engine.allocate("float32", [1, numHeads, numTokens, headWidth]);
    past[`past.${layer}.${part}`] = to;
    place.push({ output: `rows.${layer}.${part}`, fromElement: 0, to, toElement: 0, layout });
  }
}
const int32 = (value: number) =>
  ({ dtype: "int32", shape: [1], data: Int32Array.of(value) }) as const;
const feeds = {
  embeddings: float32([1, numTokens, config.width], randomFloats(numTokens * config.width, 1)),
  positions: int64(
    [1, numTokens],
    Array.from({ length: numTokens }, (_, place) => place),
  ),
  lastIndex: int32(numTokens - 1),
  totalLength: int32(numTokens),
  ...past,
};

printReport(
  await measureAgainstGemm({
    benchmark: "prefill",
    about: `${config.numLayers} layers of Llama-7B's shape, ${numTokens} tokens`,
    graph,
    bindings,
    run: async () => {
      await session.run(feeds, { fetch: ["first"], place });
      return undefined;
    },
    mapped: weights.source(),
    threads: engine.threads,
    rounds: 7,
  }),
);
await engine.close();
