import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { TensorData } from "../../src/tensor-data.js";
import { verifyFolder } from "../../src/verify/verify-folder.node.js";
import {
  openSafetensors,
  readTensor,
  saveSafetensors,
} from "../../src/weights/safetensors-file.node.js";
import { fixturePath } from "../support/recorded-preprocessing.js";

const made: string[] = [];
afterAll(async () => {
  for (const folder of made) await rm(folder, { recursive: true });
});

/** A copy of a recorded folder with one weight changed. */
const withChangedWeight = async (name: string, weight: string): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), "saccade-verify-"));
  made.push(folder);
  await cp(fixturePath(name), folder, { recursive: true });
  const path = join(folder, "model.safetensors");
  const tensors = new Map<string, TensorData>();
  for (const [key, entry] of (await openSafetensors(path)).tensors) {
    tensors.set(key, await readTensor(path, entry));
  }
  const data = tensors.get(weight)?.data as Float32Array;
  data[0] += 0.5;
  await saveSafetensors(path, tensors);
  return folder;
};

describe.each([
  ["llava-15", 3, 3],
  ["llava-next", 5, 3],
] as const)(
  "the recorded run of %s, computed in float64 by PyTorch",
  (name, numImages, numSamples) => {
    test("is reproduced: features, projector, assembly, scores, and tokens exactly", async () => {
      const { ok, tensors } = await verifyFolder(fixturePath(name), { tolerance: 2e-5 });
      const failed = tensors.filter((verdict) => !verdict.ok);
      expect(failed).toEqual([]);
      expect(ok).toBe(true);
      const names = tensors.map((verdict) => verdict.name);
      // Nothing else is recorded, and nothing of it is left out.
      expect(names.length).toBe(3 + 2 * numImages + 2 * numSamples);
      for (let image = 0; image < numImages; image += 1) {
        expect(names).toContain(`vision.features.${image}`);
        expect(names).toContain(`projector.output.${image}`);
      }
    });
  },
);

describe("one changed weight", () => {
  test("of the projector shows from its output on", async () => {
    const folder = await withChangedWeight("llava-15", "model.mm_projector.2.weight");
    const { tensors } = await verifyFolder(folder);
    const verdicts = new Map(tensors.map((verdict) => [verdict.name, verdict.ok]));
    expect(verdicts.get("vision.features.0")).toBe(true);
    expect(verdicts.get("projector.output.0")).toBe(false);
    expect(verdicts.get("llm.inputs_embeds")).toBe(false);
  });

  test("of the newline shows in the assembly alone, before the scores", async () => {
    const folder = await withChangedWeight("llava-next", "model.image_newline");
    const { tensors } = await verifyFolder(folder);
    const verdicts = new Map(tensors.map((verdict) => [verdict.name, verdict.ok]));
    expect(verdicts.get("projector.output.0")).toBe(true);
    expect(verdicts.get("llm.inputs_embeds")).toBe(false);
  });
});
