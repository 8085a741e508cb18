import { describe, expect, it } from "vitest";
import { measurePriors } from "../../../src/data/scenes/priors.js";
import { families, questionsFor } from "../../../src/data/scenes/questions/index.js";
import type { Question } from "../../../src/data/scenes/questions/question.js";
import { type SceneKind, type Split, sceneKinds } from "../../../src/data/scenes/random.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import type { Scene } from "../../../src/data/scenes/scene.js";
import { OptionsError } from "../../../src/errors.js";
import { validAnswers } from "./valid-answers.js";

const sampleScenes = (kind: SceneKind, count: number, split: Split = "train"): Scene[] =>
  Array.from({ length: count }, (_, index) => sampleScene({ seed: 11, split, index, kind }));

const byKind = { simple: 3000, detail: 1500, clip: 1500 };
const askAll = (split: Split): Question[] =>
  sceneKinds.flatMap((kind) =>
    sampleScenes(kind, byKind[kind], split).flatMap((scene) => questionsFor(scene)),
  );
const train = askAll("train");
const test = askAll("test");

describe("questions", () => {
  it("have exactly one valid answer, the given one, by brute force over the scene", () => {
    const wrong: string[] = [];
    let numChecked = 0;
    for (const kind of sceneKinds) {
      for (const scene of sampleScenes(kind, byKind[kind] / 2)) {
        for (const { question, answer } of questionsFor(scene, { perFamily: 3 })) {
          numChecked += 1;
          const valid = validAnswers(scene, question);
          if (valid.length !== 1 || valid[0] !== answer)
            wrong.push(
              `${question} ${answer}, valid: ${valid.join(" | ")}, in ${JSON.stringify(scene)}`,
            );
        }
      }
    }
    expect(wrong.slice(0, 3)).toEqual([]);
    expect(numChecked).toBeGreaterThan(20_000);
  });

  it("are told from wrong ones by the checker: another answer is never valid", () => {
    const [scene] = sampleScenes("simple", 1);
    for (const { question, answer } of questionsFor(scene))
      expect(validAnswers(scene, question)).not.toContain(`${answer}s`);
    expect(() => validAnswers(scene, "Why?")).toThrow("no pattern");
  });

  it("come in every family, each with one of three finenesses", () => {
    const asked = new Map(train.map(({ family, fineness }) => [family, fineness]));
    expect([...asked.keys()].sort()).toEqual(families.map(({ family }) => family).sort());
    expect(families.length).toBeGreaterThanOrEqual(14);
    for (const { family, fineness } of families) expect(asked.get(family)).toBe(fineness);
    for (const fineness of ["coarse", "medium", "fine"])
      expect(families.filter((one) => one.fineness === fineness).length).toBeGreaterThanOrEqual(5);
  });

  it("say yes as often as no, in every family that knows only these", () => {
    const yesNo = ["presence", "category-presence", "binding", "relation", "same", "clip-order"];
    for (const name of yesNo) {
      const answers = train.filter(({ family }) => family === name).map(({ answer }) => answer);
      expect(new Set(answers)).toEqual(new Set(["yes", "no"]));
      const yes = answers.filter((answer) => answer === "yes").length;
      // Four standard deviations of a fair coin.
      expect(Math.abs(yes / answers.length - 0.5)).toBeLessThan(2 / Math.sqrt(answers.length));
    }
  });

  it("cannot be guessed from their text", () => {
    const priors = measurePriors(train, test);
    const limits: Record<string, number> = { coarse: 0.56, medium: 0.56, fine: 0.36 };
    const guessed = priors.filter((prior) => {
      const limit = limits[prior.fineness] + 1 / Math.sqrt(prior.numQuestions);
      return Math.max(prior.byFamily, prior.byQuestion) > limit;
    });
    expect(guessed).toEqual([]);
    const count = priors.find(({ family }) => family === "count");
    expect(count?.byQuestion).toBeLessThan(0.45);
  });

  it("stay the same when others are left out", () => {
    for (const scene of sampleScenes("simple", 50)) {
      const all = questionsFor(scene).filter(({ family }) => family === "place");
      expect(questionsFor(scene, { families: ["place"] })).toEqual(all);
    }
  });

  it("differ between variants and never repeat within one", () => {
    const [scene] = sampleScenes("simple", 8).slice(-1);
    const first = questionsFor(scene, { perFamily: 4 });
    expect(new Set(first.map(({ question }) => question)).size).toBe(first.length);
    expect(questionsFor(scene, { perFamily: 4, variant: 1 })).not.toEqual(first);
  });

  it("say from which size their print can be read", () => {
    for (const scene of sampleScenes("detail", 300)) {
      for (const { fineness, legibleFromPx = 0 } of questionsFor(scene)) {
        if (fineness !== "fine") continue;
        expect(legibleFromPx).toBeGreaterThan(16);
        expect(legibleFromPx).toBeLessThanOrEqual(672);
      }
    }
  });

  it("refuse families that do not exist", () => {
    const [scene] = sampleScenes("simple", 1);
    expect(() => questionsFor(scene, { families: ["smell"] })).toThrow(OptionsError);
    expect(() => questionsFor(scene, { perFamily: 0 })).toThrow(OptionsError);
  });
});
