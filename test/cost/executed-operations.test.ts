import { describe, expect, it } from "vitest";
import { conventions } from "../../src/cost/convention.js";
import { type CostRequest, createCostEstimator } from "../../src/cost/cost-report.js";
import { createDecoder } from "../../src/generate/decoder.js";
import { createMediaPreparation } from "../../src/generate/media.js";
import { inMemoryParameters } from "../../src/graph/index.js";
import { initParameters } from "../../src/load/new-model.node.js";
import { presets } from "../../src/load/presets.js";
import { chooseProcessor } from "../../src/load/resolved-model.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import { parseSystem } from "../../src/systems/system.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { createProfiledEngine } from "../support/profiled-engine.js";
import { randomImage, videoOf } from "../support/tiny-models.js";

const { config: llava, visionConfig, preprocessorConfig: clipProcessor } = presets["tiny-llava"];
const { config: mini } = presets["tiny-llava-mini"];
const { config: uhd, preprocessorConfig: uhdProcessor } = presets["tiny-llava-uhd"];
const tilePx = 96;
const models = {
  "llava-1.5": llava,
  "llava-next": {
    ...llava,
    image_aspect_ratio: "anyres",
    mm_patch_merge_type: "spatial_unpad",
    image_grid_pinpoints: [
      [tilePx, 2 * tilePx],
      [2 * tilePx, 2 * tilePx],
    ],
  },
  "avg-llava": {
    ...llava,
    image_aspect_ratio: "anyres",
    mm_patch_merge_type: "spatial_unpad",
    image_grid_pinpoints: [[2 * tilePx, tilePx]],
    vis_token_granularity: [36, 144],
    router_select: true,
  },
  "llava-uhd": uhd,
  "llava-mini": mini,
  "llava-mini without fusion": { ...mini, prefusion_layer_num: 0 },
  "llava-mini-hd": { ...mini, compressor_size: 2, resolution_ratio: 2 },
};
type ModelName = keyof typeof models;

const openModel = (name: ModelName) => {
  const config = models[name];
  const system = parseSystem(config, visionConfig);
  const preprocessorConfig = name === "llava-uhd" ? uhdProcessor : clipProcessor;
  return { system, processor: chooseProcessor(system, { config, preprocessorConfig }) };
};

/** Runs a request for real, with ONNX Runtime's profile, and says how many multiply-adds it took. */
const execute = async (name: ModelName, request: Required<CostRequest>, prefillChunk: number) => {
  const { system, processor } = openModel(name);
  const initial = initParameters(models[name], visionConfig, 1);
  const names = [...listParameters(system.params).keys()];
  const parameters = inMemoryParameters(new Map(names.map((own) => [own, initial(own)])));
  const engine = createProfiledEngine();
  const open = (graph: Parameters<typeof engine.open>[0]) => engine.open(graph, parameters);
  const encoder = system.createEncoder({ open, featureCacheBytes: 0, maxPromptTokens: 512 });
  const options = { contextLength: 2048, prefillChunk };
  const decoder = await createDecoder(
    engine,
    open,
    system.params.language,
    system.language,
    options,
  );
  const preparation = createMediaPreparation(system.config, processor, encoder);
  const media = [];
  for (const { width, height, numFrames, choice } of request.media) {
    const medium =
      numFrames === undefined
        ? ({ type: "image", image: randomImage(width, height) } as const)
        : ({
            type: "video",
            video: videoOf(Array.from({ length: numFrames }, () => randomImage(width, height))),
            sampling: { rule: "all" },
          } as const);
    media.push({ ...(await preparation.prepare(medium)).input, ...(choice && { choice }) });
  }
  const text = Array.from({ length: request.textTokens }, (_, index) => 5 + (index % 200));
  // LLaVA-UHD has a place for every view, all others for every image.
  const places = media.flatMap((medium) =>
    name === "llava-uhd" && medium.kind === "image"
      ? medium.views.plan.views.map(() => imagePlaceholderId)
      : [imagePlaceholderId],
  );
  const ids = [...places, ...text];
  const encoded = await encoder.encodePrompt(ids, media);
  const promptTokens = encoded.embeddings.shape[1];
  const cache = await decoder.createCache(1, promptTokens + request.answerTokens);
  const [{ key, value }] = cache.layers;
  const cacheBytes =
    cache.layers.length *
    4 *
    [...[key, value]].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  await decoder.prefill(cache, 0, encoded.embeddings);
  for (let step = 1; step < request.answerTokens; step += 1) await decoder.step(cache, [7]);
  const routed = encoded.routes?.[0]?.[0]?.granularity;
  return { promptTokens, cacheBytes, routed, multiplyAdds: await engine.finish() };
};

const cases: readonly (readonly [ModelName, Required<CostRequest>])[] = [
  ["llava-1.5", { media: [{ width: 130, height: 90 }], textTokens: 40, answerTokens: 3 }],
  [
    "llava-1.5",
    { media: [{ width: 60, height: 60, numFrames: 3 }], textTokens: 9, answerTokens: 1 },
  ],
  ["llava-next", { media: [{ width: 150, height: 200 }], textTokens: 21, answerTokens: 2 }],
  ["avg-llava", { media: [{ width: 200, height: 90 }], textTokens: 50, answerTokens: 1 }],
  [
    "avg-llava",
    {
      media: [{ width: 90, height: 90, choice: { granularity: 36 } }],
      textTokens: 50,
      answerTokens: 2,
    },
  ],
  ["llava-mini", { media: [{ width: 96, height: 96 }], textTokens: 43, answerTokens: 5 }],
  [
    "llava-mini",
    { media: [{ width: 96, height: 40, numFrames: 4 }], textTokens: 30, answerTokens: 1 },
  ],
  ["llava-mini", { media: [], textTokens: 50, answerTokens: 2 }],
  ["llava-uhd", { media: [{ width: 300, height: 200 }], textTokens: 40, answerTokens: 2 }],
  [
    "llava-mini without fusion",
    { media: [{ width: 9, height: 9 }], textTokens: 3, answerTokens: 1 },
  ],
  ["llava-mini-hd", { media: [{ width: 200, height: 180 }], textTokens: 33, answerTokens: 2 }],
];

describe("the predicted cost", () => {
  it.each(cases)("of %s is what ONNX Runtime executes: %j", async (name, request) => {
    const prefillChunk = 64;
    const executed = await execute(name, request, prefillChunk);
    const { multiplyAdds, promptTokens, cacheBytes, routed } = executed;
    const estimate = createCostEstimator(openModel(name), { prefillChunk });
    // What a router chooses is not known before; all else is.
    const media = request.media.map((medium) => ({ ...medium, ...(routed && { routed }) }));
    const report = estimate({ ...request, media });
    expect(report.visionTokens + report.textTokens).toBe(promptTokens);
    expect(report.bytes.kvCache).toBe(cacheBytes);
    const predicted = report.flops.total / 2;
    expect(Math.abs(predicted / multiplyAdds - 1), `${predicted} of ${multiplyAdds}`).toBeLessThan(
      0.01,
    );
  });

  it("would not be, if it were another convention's", async () => {
    const [name, request] = cases[0];
    const { multiplyAdds } = await execute(name, request, 512);
    const model = openModel(name);
    for (const convention of [conventions.linear, conventions.released]) {
      const predicted = createCostEstimator(model, { convention })(request).flops.total / 2;
      expect(Math.abs(predicted / multiplyAdds - 1)).toBeGreaterThan(0.01);
    }
  });
});
