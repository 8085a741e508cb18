/** Time to the first token: AVG-LLaVA at 36 against 576 tokens a view, one image of 672x672, 7B layers. */
import {
  addCosts,
  estimateGraphCost,
  type GraphCost,
  matrixFlops,
} from "../src/cost/graph-cost.js";
import { createDecoder } from "../src/generate/decoder.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { bindFeeds, type ParameterSource } from "../src/graph/index.js";
import { nextPinpoints } from "../src/image/anyres.js";
import { clipConfig } from "../src/image/clip-config.js";
import { planViews } from "../src/image/image-mode.js";
import { best, bestRatio, measureRounds, medianRatio } from "../src/measure/rounds.node.js";
import type { EncodedPrompt, OpenGraph } from "../src/systems/encoder.js";
import { parseSystem } from "../src/systems/system.js";
import { float32 } from "../src/tensor-data.js";
import { imagePlaceholderId } from "../src/text/image-placeholder.js";
import { createRandomWeights, randomFloats } from "./random-weights.js";
import { type Figure, note, printReport } from "./report.js";

const rounds = 2;
const numTextTokens = 70;
const granularities = [36, 72, 144, 288, 576];
const [coarsest, finest] = [0, granularities.length - 1];
const side = 336;
const size = { width: 2 * side, height: 2 * side };
const pinpoints = nextPinpoints(side);
const published = {
  architectures: ["LlavaLlamaForCausalLM"],
  model_type: "llava_llama",
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  max_position_embeddings: 4096,
  image_aspect_ratio: "anyres",
  image_grid_pinpoints: pinpoints.map(({ width, height }) => [width, height]),
  mm_patch_merge_type: "spatial_unpad",
  mm_vision_tower: "openai/clip-vit-large-patch14-336",
  mm_projector_type: "mlp2x_gelu",
  mm_vision_select_layer: -2,
  vis_token_granularity: granularities,
  router_select: true,
};

const engine = createNodeEngine();
note("avg-first-token: writing 4 GB of random weights");
const weights = await createRandomWeights(4e9);
// As in first-token: the layers of the language model share the bytes of one, 0.8 GB.
const shared = weights.source((name) => name.replace(/^language\.layers\.\d+\./, "layer."));

/** Weights with which the router runs whole and then votes for one granularity: its norm's bias decides. */
const votingFor =
  (choice: number): ParameterSource =>
  (name, shape) => {
    const own = { "router.norm.weight": 1e-6, "router.norm.bias": 0 }[name];
    if (own === undefined) return shared(name, shape);
    const values = new Float32Array(granularities.length).fill(own);
    if (name === "router.norm.bias") values[choice] = 1;
    return { dtype: "float32", content: new Uint8Array(values.buffer) };
  };

const plan = planViews(size, clipConfig(side), { aspect: "anyres", pinpoints });
const numViews = plan.views.length;
const views = {
  pixels: float32([numViews, 3, side, side], randomFloats(numViews * 3 * side * side, 2)),
  plan,
  key: "random",
};
const ids = [
  1,
  imagePlaceholderId,
  ...Array.from({ length: numTextTokens - 1 }, (_, place) => 100 + 37 * place),
];

const system = parseSystem(published);
const { language, params } = system;
let spent: GraphCost = addCosts();
const openWith =
  (source: ParameterSource): OpenGraph =>
  async (graph) => {
    const session = await engine.open(graph, source);
    return {
      ...session,
      run: (feeds, options) => {
        spent = addCosts(spent, estimateGraphCost(graph, bindFeeds(graph, feeds)));
        return session.run(feeds, options);
      },
    };
  };
const decoder = await createDecoder(engine, openWith(shared), params.language, language, {
  contextLength: 4096,
});
/** Everything between pixels and the first answer token's scores, the router included. */
const createRun = (choice: number) => {
  const encoder = system.createEncoder({
    open: openWith(votingFor(choice)),
    featureCacheBytes: 0,
    maxPromptTokens: 128,
  });
  return {
    /** Of an image, at most. */
    mostTokens: encoder.countImageTokens(plan),
    last: { tokens: 0, cost: addCosts(), totalMs: 0, visionMs: 0, routerMs: 0, prefillMs: 0 },
    async run() {
      spent = addCosts();
      cache.lengths[0] = 0;
      const startedMs = performance.now();
      const encoded: EncodedPrompt = await encoder.encodePrompt(ids, [{ kind: "image", views }]);
      const [route] = encoded.routes?.[0] ?? [];
      if (route?.chosenBy !== "router" || route.granularity !== granularities[choice]) {
        throw new Error(
          `the router must choose ${granularities[choice]}, got ${route?.granularity}`,
        );
      }
      const encodedMs = performance.now();
      await decoder.prefill(cache, 0, encoded.embeddings);
      const endedMs = performance.now();
      const { visionMs, routerMs = 0 } = encoded.timings;
      this.last = {
        tokens: encoded.embeddings.shape[1],
        cost: spent,
        totalMs: endedMs - startedMs,
        visionMs: visionMs - routerMs,
        routerMs,
        prefillMs: endedMs - encodedMs,
      };
      return undefined;
    },
  };
};

const coarse = createRun(coarsest);
const fine = createRun(finest);
const cache = await decoder.createCache(1, numTextTokens + fine.mostTokens);
const { times, shareOfOthers } = await measureRounds(
  { fine: () => fine.run(), coarse: () => coarse.run() },
  rounds,
  (round, ms) =>
    note(
      `avg-first-token round ${round}/${rounds}: at 576 ${(ms.fine / 1000).toFixed(1)} s, at 36 ${(ms.coarse / 1000).toFixed(1)} s`,
    ),
);

const parts = (name: string, { cost, ...last }: typeof fine.last): Figure[] => [
  { name: `${name}: vision, last round`, value: last.visionMs / 1000, unit: "s" },
  { name: `${name}: router`, value: last.routerMs / 1000, unit: "s" },
  { name: `${name}: language model`, value: last.prefillMs / 1000, unit: "s" },
  { name: `${name}: matrix products`, value: matrixFlops(cost) / 1e9, unit: "GFLOP" },
];
printReport({
  benchmark: "avg-first-token",
  about: `one image of ${size.width}x${size.height} in ${numViews} views and ${numTextTokens} text tokens, until the scores of the first answer token`,
  setting: {
    provider: "cpu",
    threads: engine.threads,
    rounds,
    languageLayers: published.num_hidden_layers,
    width: published.hidden_size,
    tokensAt576: fine.last.tokens,
    tokensAt36: coarse.last.tokens,
    weights: "all decoder layers share one layer's bytes",
  },
  shareOfOthers,
  figures: [
    {
      name: "36 tokens a view faster than 576",
      value: bestRatio(times.fine, times.coarse),
      unit: "x",
      target: { atLeast: 2.53 },
    },
    { name: "the same, median of rounds", value: medianRatio(times.fine, times.coarse), unit: "x" },
    {
      name: "router, share of the time at 576",
      value: (100 * fine.last.routerMs) / fine.last.totalMs,
      unit: "%",
      target: { below: 3 },
    },
    {
      name: "fewer FLOPs",
      value: matrixFlops(fine.last.cost) / matrixFlops(coarse.last.cost),
      unit: "x",
    },
    { name: "at 576", value: best(times.fine) / 1000, unit: "s" },
    { name: "at 36", value: best(times.coarse) / 1000, unit: "s" },
    ...parts("at 576", fine.last),
    ...parts("at 36", coarse.last),
  ],
});
await engine.close();
