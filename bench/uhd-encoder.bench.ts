/**
 * LLaVA-UHD v4's encoder at full width (SigLIP so400m, random weights): merging inside the encoder after its 7th layer
 * against merging after it, on one view and on an image in slices; packed views against separate ones; bare products.
 */
import { estimateGraphCost, matrixFlops } from "../src/cost/graph-cost.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import type { DimBindings } from "../src/graph/index.js";
import { planSlices } from "../src/image/slice-plan.js";
import { best, bestRatio, measureRounds, medianRatio } from "../src/measure/rounds.node.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { uhdVisionParams } from "../src/systems/llava-uhd.js";
import { parseUhdVisionConfig, type UhdVisionConfig } from "../src/systems/llava-uhd-config.js";
import { llavaUhdVisionGraph } from "../src/systems/llava-uhd-graphs.js";
import { uhdVisionFeeds } from "../src/systems/llava-uhd-input.js";
import { float32 } from "../src/tensor-data.js";
import { splitStrip } from "../src/vision/split-strip.js";
import { openGemmMix } from "./bare-gemm.js";
import { createRandomWeights, randomFloats } from "./random-weights.js";
import { note, printReport } from "./report.js";

const rounds = Number(process.env.ROUNDS ?? 2);
const shared = { hidden_size: 4096, vision_config: { model_type: "siglip_vision_model" } };
const early = parseUhdVisionConfig({ ...shared, insert_layer_id: 6 });
const after = parseUhdVisionConfig({ ...shared, insert_layer_id: null, merger_times: 2 });

/** Random views of a plan, as the processor would give them. */
const stripOf = (width: number, height: number) => {
  const grids = planSlices({ width, height }).views.map(({ patches }) => patches);
  const numPatches = grids.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const pixels = randomFloats(3 * 14 * numPatches * 14, 1);
  return { pixelValues: float32([1, 3, 14, numPatches * 14], pixels), grids };
};
const view = stripOf(448, 448);
const image = stripOf(1344, 1344);
const views = Array.from({ length: image.grids.length }, () => stripOf(448, 448));

const engine = createNodeEngine();
note("uhd-encoder: writing 2.4 GB of random weights");
const weights = await createRandomWeights(2.4e9);
const source = weights.source();

const openEncoder = async (config: UhdVisionConfig) => {
  const graph = llavaUhdVisionGraph(
    uhdVisionParams(new ParameterScope(), config),
    config,
    1,
    "16x",
  );
  const session = await engine.open(graph, source);
  return {
    graph,
    run: (strip: typeof view) => {
      const parts = splitStrip(strip).map((part) => uhdVisionFeeds([part], config, "16x").feeds);
      return async () => {
        for (const feeds of parts) await session.run(feeds);
        return undefined;
      };
    },
  };
};
const [compressed, merged] = [await openEncoder(early), await openEncoder(after)];
const one: DimBindings = { V0: 1, M0: 64 };
const all: DimBindings = { V0: image.grids.length, M0: 64 };
const mix = await openGemmMix(compressed.graph, one, source, 2);
const apart = views.map((strip) => compressed.run(strip));

const { times, shareOfOthers } = await measureRounds(
  {
    view: compressed.run(view),
    viewAfter: merged.run(view),
    gemms: async () => ({ milliseconds: await mix.measure() }),
    image: compressed.run(image),
    imageAfter: merged.run(image),
    apart: async () => {
      for (const run of apart) await run();
      return undefined;
    },
  },
  rounds,
  (round, ms) =>
    note(
      `uhd-encoder round ${round}/${rounds}: view ${ms.view.toFixed(0)} ms, merged after ${ms.viewAfter.toFixed(0)}; ` +
        `image ${ms.image.toFixed(0)}, merged after ${ms.imageAfter.toFixed(0)}, views apart ${ms.apart.toFixed(0)}; bare Gemms ${ms.gemms.toFixed(0)}`,
    ),
);
await mix.close();
await engine.close();

const cost = estimateGraphCost(compressed.graph, one);
const flops = matrixFlops(cost);
const flopsOf = (encoder: typeof merged, sides: DimBindings): number =>
  matrixFlops(estimateGraphCost(encoder.graph, sides));
const rate = flops / best(times.view) / 1e6;
const gemmRate = (2 * cost.linear) / best(times.gemms) / 1e6;

printReport({
  benchmark: "uhd-encoder",
  about: "SigLIP so400m of LLaVA-UHD v4, one view of 448x448 and an image of 1344x1344 in 10 views",
  setting: { provider: "cpu", threads: engine.threads, rounds },
  figures: [
    {
      name: "one view: time of merging inside over merging after",
      value: bestRatio(times.view, times.viewAfter),
      unit: "x",
      target: { below: 0.55 },
    },
    {
      name: "the same, median of rounds",
      value: medianRatio(times.view, times.viewAfter),
      unit: "x",
    },
    {
      name: "the same in FLOPs",
      value: flops / flopsOf(merged, one),
      unit: "x",
    },
    {
      name: "image: time of merging inside over merging after",
      value: bestRatio(times.image, times.imageAfter),
      unit: "x",
      target: { below: 0.55 },
    },
    {
      name: "the same, median of rounds",
      value: medianRatio(times.image, times.imageAfter),
      unit: "x",
    },
    {
      name: "image: packed views over the same views apart",
      value: bestRatio(times.image, times.apart),
      unit: "x",
      target: { below: 1.05 },
    },
    {
      name: "one view: rate against the best bare Gemm",
      value: rate / mix.bestRate(),
      unit: "x",
      target: { atLeast: 0.75 },
    },
    { name: "one view: rate against its own bare Gemms", value: rate / gemmRate, unit: "x" },
    {
      name: "image: rate against the best bare Gemm",
      value: flopsOf(compressed, all) / best(times.image) / 1e6 / mix.bestRate(),
      unit: "x",
    },
    { name: "one view, merged inside", value: best(times.view), unit: "ms" },
    { name: "one view, merged after", value: best(times.viewAfter), unit: "ms" },
    { name: "image, merged inside", value: best(times.image), unit: "ms" },
    { name: "image, merged after", value: best(times.imageAfter), unit: "ms" },
    { name: "rate", value: rate, unit: "GFLOP/s" },
    { name: "best bare Gemm", value: mix.bestRate(), unit: "GFLOP/s" },
  ],
  shareOfOthers,
});
