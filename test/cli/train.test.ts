import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { parseRunLog, stepsOf } from "../../src/train/run-log.js";
import { openSafetensors } from "../../src/weights/safetensors-file.node.js";
import { cliPath, runCli, temporaryFolder } from "../support/cli.js";

const { path: root, remove } = temporaryFolder();
afterAll(remove);

const colours = { red: "#d02020", green: "#20d030" };
const recipe = join(root, "recipe.yaml");
const text = `
name: colours
model:
  from: ./base
  initialise: [{ parameters: ["prefusion.**"], with: language-layers }]
stages:
  - name: alignment
    visionTokens: all
    train: ["projector.**"]
    groups: [{ name: projector, parameters: ["**"], learningRate: 1.0e-3 }]
    data: { train: [{ path: data/train.json, format: llava }], maxLength: 400, maxBadShare: 0.2 }
    batchSize: 4
    epochs: 1
    schedule: { kind: constant }
  - name: tuning
    train: ["projector.**", "compressor.**", "!compressor.positions", "prefusion.**", "language.**", "!language.embedding"]
    groups: [{ name: all, parameters: ["**"], learningRate: 2.0e-3 }]
    data:
      train: [{ path: data/train.json, format: llava }]
      validation: [{ path: data/train.json, format: llava, sampling: "first:4" }]
      maxLength: 400
      maxBadShare: 0.2
    batchSize: 4
    steps: 6
    schedule: { kind: cosine, warmupRatio: 0.1 }
    validation: { everySteps: 3, batches: 1 }
    checkpoint: { everySteps: 2, keep: 2 }
`;

beforeAll(async () => {
  await writeNewModel(join(root, "base"), "tiny-llava-mini", 1);
  await mkdir(join(root, "data"));
  const records: object[] = [];
  for (let index = 0; index < 8; index += 1) {
    const [name, background] = Object.entries(colours)[index % 2];
    await sharp({ create: { width: 40, height: 40, channels: 3, background } })
      .png()
      .toFile(join(root, "data", `${index}.png`));
    const conversations = [
      { from: "human", value: "<image>\nWhat colour is it?" },
      { from: "gpt", value: `${name} ball` },
    ];
    records.push({ id: `${index}`, image: `${index}.png`, conversations });
  }
  records.push({ ...records[0], id: "lost", image: "lost.png" });
  writeFileSync(join(root, "data/train.json"), JSON.stringify(records));
  writeFileSync(recipe, text);
});

/** Runs the command and sends one SIGINT when standard error has `pattern`. */
const interruptAt = (pattern: RegExp, args: readonly string[]) =>
  new Promise<{ readonly code: number | null; readonly stderr: string }>((resolve) => {
    const child = spawn(process.execPath, [cliPath, ...args]);
    let stderr = "";
    child.stderr.on("data", (data) => {
      const had = pattern.test(stderr);
      stderr += data;
      if (!had && pattern.test(stderr)) child.kill("SIGINT");
    });
    child.on("close", (code) => resolve({ code, stderr }));
  });

const historyOf = (folder: string) =>
  parseRunLog(readFileSync(join(root, folder, "log.jsonl"), "utf8"));

describe("saccade train", () => {
  it("says beforehand what a run takes, and touches nothing", async () => {
    const { code, stdout } = await runCli(["train", recipe, "--dry-run", "--json"]);
    expect(code).toBe(0);
    const { stages } = JSON.parse(stdout);
    expect(stages).toMatchObject([
      // The projector is one matrix of 128 by 128 twice, with biases.
      { name: "alignment", parameters: 2 * (128 * 128 + 128), steps: 2, samplesPerStep: 4 },
      { name: "tuning", steps: 6, groups: [{ name: "all", learningRate: 2e-3 }] },
    ]);
    const table = await runCli(["train", recipe, "--dry-run"]);
    expect(table.stdout).toMatch(/projector +4 +33,024 +0\.001 +0\n/);
    expect(table.stdout).toMatch(/memory +\d+ MB: /);
  });

  it("trains, logs, reports bad records and leaves a model that answers", async () => {
    const folder = join(root, "run");
    const { code, stdout, stderr } = await runCli(["train", recipe, "--output", folder, "--json"]);
    expect(stderr).toContain("lost.png");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      recipe: "colours",
      steps: 8,
      model: join(folder, "model"),
    });
    const steps = stepsOf(historyOf("run"));
    expect(steps).toHaveLength(8);
    expect(steps[7].loss).toBeLessThan(steps[0].loss);
    // Same names as the model that it started from; what does not train is the same to the bit.
    const [before, after] = await Promise.all(
      [join(root, "base"), join(folder, "model")].map((path) =>
        openSafetensors(join(path, "model.safetensors")),
      ),
    );
    expect([...after.tensors.keys()].sort()).toEqual([...before.tensors.keys()].sort());
    const embedding = "model.embed_tokens.weight";
    expect(await after.readTensor(embedding)).toEqual(await before.readTensor(embedding));
    const head = "lm_head.weight";
    expect(await after.readTensor(head)).not.toEqual(await before.readTensor(head));
    const image = join(root, "data/0.png");
    const asked = ["ask", join(folder, "model"), "--image", image, "--max-tokens", "4", "Which?"];
    expect((await runCli(asked)).code).toBe(0);
  });

  it("goes on after an interrupt to the same end", async () => {
    const folder = join(root, "stopped");
    const stopped = await interruptAt(/stage 2\/2/, ["train", recipe, "--output", folder]);
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain("--resume");
    const refused = await runCli(["train", recipe, "--output", folder]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("pass --resume");
    expect((await runCli(["train", recipe, "--output", folder, "--resume"])).code).toBe(0);
    const curveOf = (name: string) =>
      stepsOf(historyOf(name)).map(({ step, loss, gradientNorm }) => [step, loss, gradientNorm]);
    expect(curveOf("stopped")).toEqual(curveOf("run"));
    const [one, other] = ["run", "stopped"].map((name) =>
      readFileSync(join(root, name, "model/model.safetensors")),
    );
    expect(other.equals(one)).toBe(true);
  });

  it("names unknown keys, missing files and patterns that fit nothing", async () => {
    const bad = join(root, "bad.yaml");
    const run = async (from: string, to: string) => {
      writeFileSync(bad, text.replace(from, to));
      const { code, stderr } = await runCli(["train", bad, "--dry-run"]);
      expect(code).toBe(1);
      return stderr;
    };
    expect(await run("batchSize: 4", "batch: 4")).toMatch(/unknown key "batch".*valid keys are/);
    expect(await run('train: ["projector.**"]', 'train: ["projektor.**"]')).toMatch(/projektor/);
    expect(await run("data/train.json", "data/none.json")).toMatch(/none\.json/);
    expect(await run("maxBadShare: 0.2", "maxBadShare: 0.01")).toMatch(/may be bad/);
    expect((await runCli(["train", join(root, "none.yaml")])).stderr).toMatch(/readable file/);
  });

  it("draws scenes as data, and makes another system of the same weights", async () => {
    await writeNewModel(join(root, "backbone"), "scenes-llava", 1);
    const fused = join(root, "fused.yaml");
    writeFileSync(
      fused,
      `
name: fused
model:
  from: ./backbone
  config: { architectures: [LlavaMiniLlamaForCausalLM], model_type: llava_mini_llama, compressor_size: 1, resolution_ratio: 1, prefusion_layer_num: 1 }
  initialise:
    - { parameters: ["compressor.**"], with: declared }
    - { parameters: ["prefusion.**"], with: language-layers }
stages:
  - name: questions
    train: ["compressor.**", "!compressor.positions", "prefusion.**"]
    groups: [{ name: all, parameters: ["**"], learningRate: 1.0e-3 }]
    data:
      train: [{ scenes: { count: 8, heightPx: 96, contents: [questions], maxTurns: 2 } }]
      template: vicuna_v1
      maxLength: 200
      buckets: 1
    batchSize: 4
    steps: 2
    schedule: { kind: constant }
`,
    );
    const run = await runCli(["train", fused, "--output", join(root, "fused-run")]);
    expect(run).toMatchObject({ code: 0 });
    const folder = join(root, "fused-run", "model");
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    expect(config).toMatchObject({
      model_type: "llava_mini_llama",
      prefusion_layer_num: 1,
      hidden_size: 192,
    });
    // One vision token, told by the model that was written.
    const evaluated = await runCli(["eval", folder, "--scenes", "test", "--count", "2", "--json"]);
    expect(JSON.parse(evaluated.stdout)).toMatchObject({ visionTokens: 1, total: { count: 2 } });
  });
});
