import { afterAll, describe, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { inMemoryParameters } from "../../src/graph/index.js";
import { initParameters } from "../../src/load/new-model.node.js";
import { presetModel } from "../../src/load/preset-model.js";
import { type PresetName, presets } from "../../src/load/presets.js";
import { createStageTimer } from "../../src/measure/stage-timer.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import type { OpenGraph } from "../../src/systems/encoder.js";
import { createImageProcessing } from "../../src/systems/image-processing.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { randomImage } from "../support/tiny-models.js";

const engine = createNodeEngine({ threads: 1 });
afterAll(() => engine.close());

const encode = async (name: PresetName, wrap: (open: OpenGraph) => OpenGraph) => {
  const { system, processor } = presetModel(name);
  const { config, visionConfig } = presets[name];
  const initial = initParameters(config, visionConfig, 1);
  const names = [...listParameters(system.params).keys()];
  const parameters = inMemoryParameters(new Map(names.map((own) => [own, initial(own)])));
  const open = wrap((graph) => engine.open(graph, parameters));
  const encoder = system.createEncoder({ open, featureCacheBytes: 0, maxPromptTokens: 64 });
  const processing = createImageProcessing(system.config, processor);
  const image = randomImage(150, 100);
  const plan = processing.planImage(image);
  const views = { ...processing.processImage(image, plan), key: "image" };
  const places = encoder.countViewTokens?.(plan).length ?? 1;
  const ids = [5, ...new Array<number>(places).fill(imagePlaceholderId), 6, 7, 8];
  return encoder.encodePrompt(ids, [{ kind: "image", views }]);
};

describe("a system run part by part", () => {
  it.each(["tiny-llava", "tiny-llava-mini", "tiny-llava-uhd", "tiny-avg-llava"] as const)(
    "%s gives what it gives as a whole, and every part has its time",
    async (name) => {
      const whole = await encode(name, (open) => open);
      let timer: ReturnType<typeof createStageTimer> | undefined;
      const staged = await encode(name, (open) => {
        timer = createStageTimer(open, () => "vision");
        return timer.open;
      });
      expect(staged.embeddings.shape).toEqual(whole.embeddings.shape);
      const off = staged.embeddings.data.map((value, index) =>
        Math.abs(value - whole.embeddings.data[index]),
      );
      expect(Math.max(...off)).toBeLessThan(1e-5);
      const { parts, openMs } = timer?.take() ?? {};
      expect(openMs).toBeGreaterThan(0);
      const expected = {
        "tiny-llava": ["vision", "projector"],
        "tiny-llava-mini": ["vision", "projector", "compression", "fusion"],
        "tiny-llava-uhd": ["vision", "projector", "compression"],
        "tiny-avg-llava": ["vision", "projector", "router"],
      }[name];
      for (const [part, ms] of Object.entries(parts ?? {})) {
        if (expected.includes(part)) expect(ms, part).toBeGreaterThan(0);
      }
      // Taken once.
      expect(Object.values(timer?.take().parts ?? {}).every((ms) => ms === 0)).toBe(true);
    },
  );
});
