import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { float32 } from "../../src/tensor-data.js";
import type { VerifyResult } from "../../src/verify/verify.js";
import { verifyFolder } from "../../src/verify/verify-folder.node.js";
import { parseSafetensors } from "../../src/weights/safetensors.js";
import { openSafetensors, saveSafetensors } from "../../src/weights/safetensors-file.node.js";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

/** What failed and how far off it is, and the worst of the rest: empty when all is well. */
const diagnose = ({ ok, tensors }: VerifyResult): string[] => {
  if (ok) return [];
  return [...tensors]
    .sort((a, b) => b.relativeError - a.relativeError)
    .slice(0, 8)
    .map(
      ({ name, relativeError, tolerance, reason }) =>
        `${name}: ${reason ?? `${relativeError.toExponential(1)}, at most ${tolerance}`}`,
    );
};

describe("recorded folders on the processor", () => {
  /** Tensors to compare with: a folder that lost some would pass too easily. */
  const numTensors = {
    "clip-vision": 13,
    "llama-gqa": 19,
    "llama-rope31": 18,
    "llava-mini-image-c1": 36,
    "llava-mini-image-c2": 35,
    "llava-mini-hd": 34,
    "llava-mini-video": 39,
    "llava-mini-train": 165,
    "llava-mini-train-c1": 111,
    "preprocess-clip": 33,
    "preprocess-anyres": 14,
    "avg-llava": 153,
    "avg-llava-rglf": 92,
    "avg-llava-token-counts": 480,
    "preprocess-uhd": 11,
    qwen2: 5,
    qwen3: 5,
    "qwen3-5": 8,
    "uhd-v4": 213,
    "uhd-v4-ablations": 215,
    "uhd-v4-slicing": 165,
  };
  it.each(Object.entries(numTensors))("%s: all %i tensors are reproduced", async (name, count) => {
    const result = await verifyFolder(fixture(name));
    expect(diagnose(result)).toEqual([]);
    expect(result.tensors).toHaveLength(count);
    expect(result.ok).toBe(true);
  });
});

describe("a verification fails", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "parity-"));
    await cp(fixture("clip-vision"), folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));

  const verdicts = async () => {
    const result = await verifyFolder(folder);
    expect(result.ok).toBe(false);
    return new Map(result.tensors.map((verdict) => [verdict.name, verdict]));
  };

  it("by one changed weight, from the first tensor that depends on it", async () => {
    const path = join(folder, "model.safetensors");
    const { tensors } = await openSafetensors(path);
    const bytes = await readFile(path);
    const entry = tensors.get("vision_model.encoder.layers.2.mlp.fc1.weight");
    expect(entry).toBeDefined();
    bytes.writeFloatLE(3, entry?.byteOffset);
    await writeFile(path, bytes);
    const found = await verdicts();
    expect(found.get("hidden_states.2")?.ok).toBe(true);
    expect(found.get("hidden_states.3")?.ok).toBe(false);
    expect(found.get("last_hidden_state")?.ok).toBe(false);
  });

  const record = async (name: string, ...parameters: Parameters<typeof float32>) => {
    const path = join(folder, "io.safetensors");
    const { tensors } = parseSafetensors(await readFile(path));
    await saveSafetensors(path, tensors.set(name, float32(...parameters)));
  };

  it("by a recorded tensor that nothing produces", async () => {
    await record("layer0.unheard_of", [1], [0]);
    const found = await verdicts();
    expect(found.get("layer0.unheard_of")).toMatchObject({ ok: false, reason: "not produced" });
    expect([...found.values()].filter(({ ok }) => !ok)).toHaveLength(1);
  });

  it("by another shape", async () => {
    await record("pooler_output", [60, 2], new Float32Array(120));
    expect((await verdicts()).get("pooler_output")?.reason).toBe("shape [2,60] instead of [60,2]");
  });

  it("by a tolerance below the rounding of float32", async () => {
    const { ok, tensors } = await verifyFolder(folder, { tolerance: 1e-12 });
    expect(ok).toBe(false);
    expect(Math.max(...tensors.map(({ relativeError }) => relativeError))).toBeLessThan(1e-5);
  });
});
