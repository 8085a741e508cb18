import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openCostModel } from "../../src/cli/cost-model.js";
import { estimateCost } from "../../src/cost/cost-report.js";
import { writeModel } from "../../src/load/model-writer.node.js";
import { presets } from "../../src/load/presets.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import { parseSystem } from "../../src/systems/system.js";
import { elementCount, float32 } from "../../src/tensor-data.js";
import { temporaryFolder } from "../support/cli.js";

const root = new URL("../../", import.meta.url);
const folder = temporaryFolder();
afterAll(folder.remove);

const { config: llava, visionConfig, preprocessorConfig } = presets["tiny-llava"];
const { config: mini } = presets["tiny-llava-mini"];
const side = 336;
const tower = {
  ...visionConfig,
  hidden_size: 384,
  intermediate_size: 1536,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  image_size: side,
  patch_size: 14,
};
const decoder = {
  hidden_size: 512,
  intermediate_size: 1408,
  num_hidden_layers: 4,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  max_position_embeddings: 4096,
};
const models = {
  "llava-1.5": { ...llava, ...decoder },
  "llava-next": {
    ...llava,
    ...decoder,
    image_aspect_ratio: "anyres",
    mm_patch_merge_type: "spatial_unpad",
    image_grid_pinpoints: [[2 * side, 2 * side]],
  },
  "llava-mini": { ...mini, ...decoder },
};

/** A model folder with weights that are all alike: they only have to be there. */
const writeLarge = async (name: keyof typeof models): Promise<string> => {
  const config = models[name];
  const declared = listParameters(parseSystem(config, tower).params);
  const path = join(folder.path, name);
  await writeModel(path, {
    config,
    visionConfig: tower,
    preprocessorConfig: {
      ...preprocessorConfig,
      size: { shortest_edge: side },
      crop_size: { height: side, width: side },
    },
    card: "Weights of a memory test.\n",
    tokenizerFiles: ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"].map(
      (file) => new URL(`models/tokenizer/${file}`, root),
    ),
    parameterValue: (parameter) => {
      const shape = (declared.get(parameter)?.shape ?? []).map(Number);
      return float32(shape, new Float32Array(elementCount(shape)).fill(0.001));
    },
  });
  return path;
};

describe("the predicted peak of a process's memory", () => {
  it.runIf(process.platform === "linux").each(Object.keys(models) as (keyof typeof models)[])(
    "of %s is met within a fifth (Linux alone tells a process's peak)",
    async (name) => {
      const path = await writeLarge(name);
      const output = execFileSync(
        process.execPath,
        [
          "--import",
          new URL("scripts/typescript.mjs", root).href,
          new URL("test/support/memory-process.ts", root).pathname,
          path,
          "672",
          "672",
        ],
        { encoding: "utf8" },
      );
      const { peakBytes, textTokens, maxTokens } = JSON.parse(output);
      const { model, ...weights } = await openCostModel(path, false, {});
      const image = { width: 672, height: 672 };
      const request = { media: [image], textTokens, answerTokens: maxTokens };
      const { bytes } = estimateCost(model, request, weights);
      const off = bytes.peak / peakBytes - 1;
      expect(Math.abs(off), `${bytes.peak} predicted, ${peakBytes} taken`).toBeLessThan(0.2);
      // Weights and caches alone would not explain it.
      expect(bytes.weights + bytes.kvCache).toBeLessThan(0.85 * peakBytes);
    },
  );
});
