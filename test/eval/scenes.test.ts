import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { evaluateScenes, type SceneOutcome } from "../../src/eval/evaluate-scenes.node.js";
import { sampleSceneQuestions } from "../../src/eval/scene-questions.js";
import type { GenerateRequest } from "../../src/generate/answer.js";
import { loadModel } from "../../src/generate/load-model.node.js";
import type { VisionLanguageModel } from "../../src/generate/model.js";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { textOf } from "../../src/text/chat-message.js";
import { validAnswers } from "../data/scenes/valid-answers.js";
import { runCli } from "../support/cli.js";

describe("questions of an evaluation", () => {
  it("are the same each time, about scenes of their own, with families in turns", () => {
    const asked = [...sampleSceneQuestions({ count: 400 })];
    expect(asked).toEqual([...sampleSceneQuestions({ count: 400 })]);
    expect(new Set(asked.map(({ scene }) => scene.key.index)).size).toBe(400);
    expect(asked.every(({ scene }) => scene.key.split === "test")).toBe(true);
    const counts = new Map<string, number>();
    for (const { question } of asked)
      counts.set(question.family, (counts.get(question.family) ?? 0) + 1);
    // 18 families of simple scenes: none is rare, though some fit few scenes.
    expect(counts.size).toBe(18);
    expect(Math.min(...counts.values())).toBeGreaterThan(12);
    for (const { scene, question } of asked)
      expect(validAnswers(scene, question.question)).toEqual([question.answer]);
  });

  it("keep to the families that are asked for", () => {
    const asked = [...sampleSceneQuestions({ count: 20, families: ["odd", "count"] })];
    expect(new Set(asked.map(({ question }) => question.family))).toEqual(
      new Set(["odd", "count"]),
    );
  });

  it("refuse what cannot be", () => {
    for (const options of [
      { count: 0 },
      { count: 3, kinds: [] },
      { count: 3, families: ["nonsense"] },
      { count: 3, families: ["chart-value"] },
    ])
      expect(() => [...sampleSceneQuestions(options)]).toThrow(OptionsError);
  });
});

describe("an evaluation on scenes", () => {
  let folder = "";
  let model: VisionLanguageModel;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "saccade-eval-"));
    await writeNewModel(join(folder, "model"), "tiny-llava", 0);
    model = await loadModel(join(folder, "model"), { offline: true });
  });
  afterAll(async () => {
    await model.close();
    await rm(folder, { recursive: true, force: true });
  });

  it("counts what is right, by family and fineness, and what it took", async () => {
    // The model runs; its answer is then replaced: right with a space before it, or wrong.
    const scenes = new Map(
      [...sampleSceneQuestions({ count: 12 })].map((item) => [item.question.question, item]),
    );
    const coached: VisionLanguageModel = {
      ...model,
      answer: async (request: GenerateRequest) => {
        const asked = textOf(request.messages[0]).replace(/^<image>\n?/, "");
        const item = scenes.get(asked);
        const isCoarse = item?.question.fineness === "coarse";
        const answer = await model.answer(request);
        return { ...answer, text: isCoarse ? ` ${item.question.answer}` : "nothing of this" };
      },
    };
    const outcomes: SceneOutcome[] = [];
    const result = await evaluateScenes(coached, {
      count: 12,
      onOutcome: (outcome) => void outcomes.push(outcome),
    });
    expect(outcomes).toHaveLength(12);
    const coarse = outcomes.filter(({ fineness }) => fineness === "coarse").length;
    expect(coarse).toBeGreaterThan(0);
    expect(coarse).toBeLessThan(12);
    expect(result.total).toMatchObject({ right: coarse, count: 12 });
    expect(result.byFineness.coarse).toMatchObject({ right: coarse, count: coarse });
    expect(result.byFineness.medium).toMatchObject({ right: 0, count: 12 - coarse });
    const families = Object.values(result.byFamily);
    expect(families.reduce((sum, { count }) => sum + count, 0)).toBe(12);
    expect(result.visionTokens).toBe(144);
    expect(result.promptTokens).toBeGreaterThan(144);
    expect(result.totalMs).toBeGreaterThanOrEqual(result.firstTokenMs);
  });

  it("takes clips as videos, where the system does", async () => {
    await writeNewModel(join(folder, "mini"), "tiny-llava-mini", 0);
    const mini = await loadModel(join(folder, "mini"), { offline: true });
    try {
      const result = await evaluateScenes(mini, { count: 2, kinds: ["clip"] });
      // One token for each of 8 frames.
      expect(result.visionTokens).toBe(8);
    } finally {
      await mini.close();
    }
  });

  it("prints a table or JSON, and writes every answer to a new file", async () => {
    const file = join(folder, "answers.jsonl");
    const args = ["eval", join(folder, "model"), "--scenes", "test", "--count", "6", "--offline"];
    const json = await runCli([...args, "--json", "--output", file]);
    expect(json).toMatchObject({ code: 0 });
    const result = JSON.parse(json.stdout);
    expect(result).toMatchObject({ split: "test", seed: 0, count: 6, total: { count: 6 } });
    const lines = (await readFile(file, "utf8")).trim().split("\n");
    const rows = lines.map((line): SceneOutcome => JSON.parse(line));
    expect(rows.map(({ question }) => question)).toEqual(
      [...sampleSceneQuestions({ count: 6 })].map(({ question }) => question.question),
    );
    const table = await runCli(args);
    expect(table).toMatchObject({ code: 0 });
    expect(table.stdout).toContain("95 % interval");
    expect(table.stdout).toContain("vision tokens");

    const again = await runCli([...args, "--output", file]);
    expect(again.code).toBe(1);
    expect(await readFile(file, "utf8")).toBe(`${lines.join("\n")}\n`);
    for (const wrong of [
      ["--family", "nonsense"],
      ["--kind", "clips"],
      ["--count", "0"],
    ])
      expect((await runCli([...args, ...wrong])).code).toBe(2);
  });
});
