/** CLIP ViT-L/14 at 336 pixels, whole: how close to bare matrix products, how far from PyTorch. */
import { createNodeEngine } from "../src/graph/engine.node.js";
import { createGraph, input } from "../src/graph/index.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { float32 } from "../src/tensor-data.js";
import { clipHiddenState, clipParams, parseClipConfig } from "../src/vision/clip.js";
import { measureAgainstGemm } from "./against-gemm.js";
import { createRandomWeights, randomFloats } from "./random-weights.js";
import { note, printReport } from "./report.js";

const config = parseClipConfig({
  hidden_size: 1024,
  intermediate_size: 4096,
  num_hidden_layers: 24,
  num_attention_heads: 16,
  image_size: 336,
  patch_size: 14,
});
const engine = createNodeEngine();
note("clip: writing 1.2 GB of random weights");
const weights = await createRandomWeights(1.25e9);
const pixels = input("pixels", "float32", ["V", 3, 336, 336]);
const params = clipParams(new ParameterScope(), config);
const graph = createGraph("clip", { hidden: clipHiddenState(params, pixels, config, -1) });
const session = await engine.open(graph, weights.source());
const image = float32([1, 3, 336, 336], randomFloats(3 * 336 * 336, 2));

printReport(
  await measureAgainstGemm({
    benchmark: "clip",
    about: "CLIP ViT-L/14-336, 24 layers, one image of 577 tokens",
    graph,
    bindings: { V: 1 },
    run: async () => {
      await session.run({ pixels: image });
      return undefined;
    },
    mapped: weights.source(),
    threads: engine.threads,
    rounds: 7,
  }),
);
await engine.close();
