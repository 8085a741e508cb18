/** Time to the first token: LLaVA-Mini's one visual token against LLaVA-1.5's 576, same 7B layers. */
import {
  addCosts,
  estimateGraphCost,
  type GraphCost,
  matrixFlops,
} from "../src/cost/graph-cost.js";
import { createDecoder } from "../src/generate/decoder.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { bindFeeds, type Graph, type Session } from "../src/graph/index.js";
import type { ImagePlan } from "../src/image/view-plan.js";
import { best, bestRatio, measureRounds, medianRatio } from "../src/measure/rounds.node.js";
import type { EncodedPrompt, OpenGraph } from "../src/systems/encoder.js";
import { parseSystem } from "../src/systems/system.js";
import { float32 } from "../src/tensor-data.js";
import { imagePlaceholderId } from "../src/text/image-placeholder.js";
import { createRandomWeights, randomFloats } from "./random-weights.js";
import { type Figure, note, printReport } from "./report.js";

const rounds = 3;
const numQuestionTokens = 43;
const shared = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  max_position_embeddings: 4096,
  mm_vision_tower: "openai/clip-vit-large-patch14-336",
  mm_projector_type: "mlp2x_gelu",
  mm_vision_select_layer: -2,
};
const published = {
  llava: { ...shared, architectures: ["LlavaLlamaForCausalLM"], model_type: "llava_llama" },
  mini: {
    ...shared,
    architectures: ["LlavaMiniLlamaForCausalLM"],
    model_type: "llava_mini_llama",
    compressor_size: 1,
    prefusion_layer_num: 4,
  },
};

const engine = createNodeEngine();
note("first-token: writing 3.5 GB of random weights");
const weights = await createRandomWeights(3.5e9);
// 28 GB of weights are not needed to measure the time of 28 GB: the layers of the language model and
// of pre-fusion have the same bytes, 0.8 GB, many times what any cache holds.
const source = weights.source((name) =>
  name.replace(/^(language|prefusion)\.layers\.\d+\./, "layer."),
);

const side = 336;
const rect = { left: 0, top: 0, width: side, height: side };
const size = { width: side, height: side };
const plan: ImagePlan = {
  image: size,
  views: [{ role: "whole", source: "image", rect, resized: size, output: rect }],
  grid: { columns: 0, rows: 0 },
};
const views = {
  pixels: float32([1, 3, side, side], randomFloats(3 * side * side, 2)),
  plan,
  key: "random",
};
// The image stands after the first token of the prompt, as in the published templates.
const ids = [
  1,
  imagePlaceholderId,
  ...Array.from({ length: numQuestionTokens - 1 }, (_, place) => 100 + 37 * place),
];

/** A system opened at full width and depth: everything between pixels and the next token's scores. */
const openSystem = async (config: object) => {
  const system = parseSystem(config);
  let spent: GraphCost = addCosts();
  const open: OpenGraph = async (graph: Graph): Promise<Session> => {
    const session = await engine.open(graph, source);
    return {
      ...session,
      run: (feeds, options) => {
        spent = addCosts(spent, estimateGraphCost(graph, bindFeeds(graph, feeds)));
        return session.run(feeds, options);
      },
    };
  };
  const { language } = system;
  const encoder = system.createEncoder({ open, featureCacheBytes: 0, maxPromptTokens: 64 });
  const decoder = await createDecoder(engine, open, system.params.language, language, {
    contextLength: 1024,
  });
  const numTokens = numQuestionTokens + encoder.countImageTokens(plan);
  const cache = await decoder.createCache(1, numTokens);
  return {
    numTokens,
    /** Cost and time of the parts of the last run. */
    last: { cost: addCosts(), visionMs: 0, fusionMs: 0, prefillMs: 0 },
    async run() {
      spent = addCosts();
      cache.lengths[0] = 0;
      const encoded: EncodedPrompt = await encoder.encodePrompt(ids, [{ kind: "image", views }]);
      const startedMs = performance.now();
      await decoder.prefill(cache, 0, encoded.embeddings);
      const prefillMs = performance.now() - startedMs;
      this.last = { cost: spent, ...encoded.timings, prefillMs };
      return undefined;
    },
  };
};

note("first-token: opening both systems, 32 layers of width 4096 each");
const mini = await openSystem(published.mini);
const llava = await openSystem(published.llava);
const { times, shareOfOthers } = await measureRounds(
  { llava: () => llava.run(), mini: () => mini.run() },
  rounds,
  (round, ms) =>
    note(
      `first-token round ${round}/${rounds}: LLaVA-1.5 ${(ms.llava / 1000).toFixed(1)} s, LLaVA-Mini ${(ms.mini / 1000).toFixed(1)} s`,
    ),
);

const parts = (
  name: string,
  { cost, visionMs, fusionMs, prefillMs }: typeof mini.last,
): Figure[] => [
  { name: `${name}: vision, last round`, value: visionMs / 1000, unit: "s" },
  { name: `${name}: between vision and language model`, value: fusionMs / 1000, unit: "s" },
  { name: `${name}: language model`, value: prefillMs / 1000, unit: "s" },
  { name: `${name}: matrix products`, value: matrixFlops(cost) / 1e9, unit: "GFLOP" },
];
printReport({
  benchmark: "first-token",
  about: `one image and a question of ${numQuestionTokens} tokens, until the scores of the first answer token`,
  setting: {
    provider: "cpu",
    threads: engine.threads,
    rounds,
    languageLayers: shared.num_hidden_layers,
    prefusionLayers: published.mini.prefusion_layer_num,
    width: shared.hidden_size,
    tokensOfLlava: llava.numTokens,
    tokensOfMini: mini.numTokens,
    weights: "all decoder layers share one layer's bytes",
  },
  shareOfOthers,
  figures: [
    {
      name: "LLaVA-Mini faster than LLaVA-1.5",
      value: bestRatio(times.llava, times.mini),
      unit: "x",
    },
    { name: "the same, median of rounds", value: medianRatio(times.llava, times.mini), unit: "x" },
    {
      name: "fewer FLOPs",
      value: matrixFlops(llava.last.cost) / matrixFlops(mini.last.cost),
      unit: "x",
    },
    { name: "LLaVA-1.5", value: best(times.llava) / 1000, unit: "s" },
    { name: "LLaVA-Mini", value: best(times.mini) / 1000, unit: "s" },
    ...parts("LLaVA-1.5", llava.last),
    ...parts("LLaVA-Mini", mini.last),
  ],
});
await engine.close();
