import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSafetensors, saveSafetensors } from "../../src/weights/safetensors-file.node.js";
import { copyModel, fixture, runCli, temporaryFolder } from "../support/cli.js";
import { buildSmallTokenizer } from "../support/small-tokenizer.js";

const folder = temporaryFolder();
let model = "";
beforeAll(() => {
  model = copyModel(join(folder.path, "model"));
});
afterAll(folder.remove);

const inspectJson = async (path: string, ...args: string[]) => {
  const { code, stdout, stderr } = await runCli(["inspect", path, "--json", ...args]);
  return { code, stderr, report: JSON.parse(stdout) };
};

/** A copy of the model whose weights `change` has had its way with. */
const changeWeights = async (
  name: string,
  change: (tensors: Map<string, { data: ArrayLike<number> }>) => void,
): Promise<string> => {
  const path = copyModel(join(folder.path, name));
  const file = join(path, "model.safetensors");
  const opened = await openSafetensors(file);
  const tensors = new Map();
  for (const tensor of opened.tensors.keys()) tensors.set(tensor, await opened.readTensor(tensor));
  change(tensors);
  await saveSafetensors(file, tensors);
  return path;
};

describe("saccade inspect", () => {
  it("counts every parameter of the file once", async () => {
    const { code, report } = await inspectJson(model);
    const { tensors } = await openSafetensors(join(model, "model.safetensors"));
    let stored = 0;
    for (const { shape } of tensors.values()) stored += shape.reduce((a, b) => a * b, 1);
    const { total, ...parts } = report.parameters;
    expect(code).toBe(0);
    expect(Object.values<number>(parts).reduce((a, b) => a + b, 0)).toBe(total);
    expect(total).toBe(stored);
    expect(Object.keys(parts).sort()).toEqual(
      ["compressor", "decoder", "embeddings", "head", "prefusion", "projector", "vision"].sort(),
    );
    expect(report.files).toEqual([
      expect.objectContaining({
        name: "model.safetensors",
        tensors: tensors.size,
        dtypes: ["float32"],
      }),
    ]);
    expect(report).toMatchObject({
      system: "llava-mini",
      weights: { ok: true },
      contextLength: 512,
    });
  });

  it("plans an image exactly as asking about it does", async () => {
    const { report } = await inspectJson(model, "--image", "640x480");
    const image = fixture("preprocess-clip", "image2_640x480_rgb.png");
    const asked = await runCli(["ask", model, "--image", image, "x", "--dry-run", "--json"]);
    expect(report.image).toMatchObject(JSON.parse(asked.stdout).media[0]);
    expect(report.image.kvBytes).toBe(report.image.tokens * report.kvBytesPerToken);
  });

  it("plans several views for models of high resolution", async () => {
    const { report } = await inspectJson(fixture("llava-mini-hd"));
    expect(report.image.views).toHaveLength(5);
    expect(report.image.tokens).toBe(4);
    expect(report.tokenizer).toBeUndefined();
  });

  it("says with --check that good weights are finite, and names the tensors of bad ones", async () => {
    expect(await inspectJson(model, "--check")).toMatchObject({
      code: 0,
      report: { check: { ok: true, tensors: [] } },
    });
    const broken = await changeWeights("broken", (tensors) => {
      const put = (name: string, at: number, values: readonly number[]) => {
        const data = tensors.get(name)?.data as Float32Array;
        data.set(values, at);
      };
      put("model.norm.weight", 3, [Number.NaN]);
      put("lm_head.weight", 100, [Infinity, -Infinity]);
    });
    const { code, report } = await inspectJson(broken, "--check");
    expect(code).toBe(1);
    expect(report.check.ok).toBe(false);
    expect(new Set(report.check.tensors)).toEqual(
      new Set([
        { name: "model.norm.weight", nan: 1, infinite: 0 },
        { name: "lm_head.weight", nan: 0, infinite: 2 },
      ]),
    );
    const text = await runCli(["inspect", broken, "--check"]);
    expect(text.stdout).toContain("model.norm.weight: 1 NaN, 0 infinite");
  });

  it("finds NaN in 16-bit weights too", async () => {
    const half = await changeWeights("half", (tensors) => {
      const bits = Uint16Array.from({ length: 64 }, (_, index) => (index === 9 ? 0x7f81 : 0x3f80));
      tensors.set("model.norm.weight", { dtype: "bfloat16", shape: [64], data: bits } as never);
    });
    const { report } = await inspectJson(half, "--check");
    expect(report.check.tensors).toEqual([{ name: "model.norm.weight", nan: 1, infinite: 0 }]);
  });

  it("describes a model whose weights do not fit, lists them, and fails", async () => {
    const wrong = await changeWeights("wrong", (tensors) => {
      tensors.delete("model.norm.weight");
      tensors.set("extra", { dtype: "float32", shape: [1], data: new Float32Array(1) } as never);
    });
    const { code, report, stderr } = await inspectJson(wrong);
    expect(code).toBe(1);
    expect(report.weights).toMatchObject({
      ok: false,
      missing: ["model.norm.weight"],
      unexpected: ["extra"],
    });
    expect(stderr).toContain("error: matchWeights");
  });
});

describe("saccade init", () => {
  it("writes a folder that answers and that inspects without a finding", async () => {
    for (const [preset, tokens] of [
      ["tiny-llava", 144],
      ["tiny-llava-mini", 1],
    ] as const) {
      const path = join(folder.path, preset);
      expect((await runCli(["init", path, "--preset", preset])).code).toBe(0);
      const { code, report } = await inspectJson(path, "--check");
      expect(code).toBe(0);
      expect(report.image.tokens).toBe(tokens);
      const image = fixture("preprocess-clip", "image0_200x140_rgb.png");
      const asked = await runCli([
        "ask",
        path,
        "--image",
        image,
        "x",
        "--max-tokens",
        "2",
        "--json",
      ]);
      expect(asked.code, asked.stderr).toBe(0);
      expect(JSON.parse(asked.stdout).usage.imageTokens).toBe(tokens);
    }
  });

  it("draws the same weights for the same seed, and others for others", async () => {
    const weights = async (name: string, seed: string) => {
      const path = join(folder.path, name);
      await runCli(["init", path, "--preset", "tiny-llava", "--seed", seed]);
      return readFileSync(join(path, "model.safetensors"));
    };
    const [first, again, other] = [
      await weights("seed-a", "3"),
      await weights("seed-b", "3"),
      await weights("seed-c", "4"),
    ];
    expect(again.equals(first)).toBe(true);
    expect(other.equals(first)).toBe(false);
  });

  it("refuses a folder that holds files, and leaves it and its neighbours as they were", async () => {
    const parent = join(folder.path, "parent");
    const path = join(parent, "full");
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, "mine.txt"), "keep");
    const { code, stderr } = await runCli(["init", path, "--preset", "tiny-llava"]);
    expect(code).toBe(2);
    expect(stderr).toContain("must be new or empty");
    expect(readdirSync(path)).toEqual(["mine.txt"]);
    expect(readdirSync(parent)).toEqual(["full"]);
    copyFileSync(join(path, "mine.txt"), join(parent, "file"));
    expect((await runCli(["init", join(parent, "file"), "--preset", "tiny-llava"])).code).toBe(2);
    mkdirSync(join(parent, "empty"));
    expect((await runCli(["init", join(parent, "empty"), "--preset", "tiny-llava"])).code).toBe(0);
    expect(existsSync(join(parent, "empty", "config.json"))).toBe(true);
  });

  it("ships the tokenizer that its generator makes", () => {
    for (const [name, content] of Object.entries(buildSmallTokenizer())) {
      const shipped = new URL(`../../models/tokenizer/${name}`, import.meta.url);
      expect(JSON.parse(readFileSync(shipped, "utf8")), name).toEqual(content);
    }
  });
});
