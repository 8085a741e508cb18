import { describe, expect, it } from "vitest";
import { createSceneRenderer } from "../../../src/data/scenes/render.node.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import { openScenes } from "../../../src/data/scenes/scene-reader.node.js";
import { LimitError, OptionsError } from "../../../src/errors.js";
import { textOf } from "../../../src/text/chat-message.js";
import { validAnswers } from "./valid-answers.js";

const read = async (reader: ReturnType<typeof openScenes>, index: number) => {
  const result = await reader.read(index);
  if ("bad" in result) throw new Error(result.bad.message);
  return result.sample;
};

describe("scenes as a dataset", () => {
  it("has a record of each content for every scene, with right answers and the scene's image", async () => {
    const reader = openScenes({
      count: 3,
      first: 5,
      seed: 9,
      heightPx: 64,
      contents: ["questions", "descriptions", "texts", "retellings"],
    });
    expect(reader.length).toBe(12);
    const renderer = await createSceneRenderer();
    for (let index = 0; index < reader.length; index++) {
      const scene = sampleScene({
        seed: 9,
        split: "train",
        index: 5 + Math.floor(index / 4),
        kind: "simple",
      });
      const sample = await read(reader, index);
      const turns = sample.messages.map((message) => textOf(message).trim());
      const hasImage = index % 4 < 2;
      expect(sample.media).toHaveLength(hasImage ? 1 : 0);
      if (index % 4 === 0)
        for (let turn = 0; turn < turns.length; turn += 2)
          expect(validAnswers(scene, turns[turn])).toEqual([turns[turn + 1]]);
      const [medium] = sample.media;
      if (medium !== undefined && "render" in medium)
        expect(await medium.render()).toEqual(await renderer.render(scene, 64));
      expect(sample).toEqual({ ...(await read(reader, index)), media: sample.media });
    }
  });

  it("retells the same facts in another order", async () => {
    const reader = openScenes({ count: 20, contents: ["retellings"] });
    const sentences = (text: string) =>
      text.split(/(?<=\.) ?/).filter((part) => part.endsWith("."));
    // "The centre shows a cat." and "A cat is at the centre." are one fact.
    const factOf = (sentence: string) => {
      const words = sentence.toLowerCase().match(/[a-z]+/g) ?? [];
      return words
        .filter((word) => !["the", "a", "an", "is", "at", "shows", "on"].includes(word))
        .sort()
        .join(" ");
    };
    let moved = 0;
    for (let index = 0; index < reader.length; index++) {
      const [question, answer] = (await read(reader, index)).messages.map(textOf);
      const told = sentences(question.replace("Describe the image.", ""));
      const retold = sentences(answer);
      expect(retold.map(factOf).sort()).toEqual(told.map(factOf).sort());
      if (answer !== told.join(" ")) moved += 1;
    }
    expect(moved).toBeGreaterThan(15);
  });

  it("keeps to the most turns, and differs between splits and seeds", async () => {
    const read0 = async (options: object) =>
      (await read(openScenes({ count: 1, ...options }), 0)).messages.map(textOf);
    expect(await read0({ maxTurns: 2 })).toHaveLength(4);
    const all = [{}, { split: "test" }, { seed: 1 }, { first: 1 }] as const;
    const texts = await Promise.all(all.map(async (options) => (await read0(options)).join("\n")));
    expect(new Set(texts).size).toBe(all.length);
    const prints = all.map((options) => openScenes({ count: 1, ...options }).fingerprint);
    expect(new Set(prints).size).toBe(all.length);
  });

  it("refuses options that cannot be", () => {
    const wrong = [
      { count: 0 },
      { count: 1.5 },
      { count: 2, first: 2 ** 32 - 1 },
      { count: 1, kinds: [] },
      { count: 1, kinds: ["clip" as "simple"] },
      { count: 1, contents: [] },
      { count: 1, maxTurns: 0 },
      { count: 1, heightPx: 0.5 },
    ];
    for (const options of wrong) expect(() => openScenes(options)).toThrow(OptionsError);
    expect(() => openScenes({ count: 1, heightPx: 1_000_000 })).toThrow(LimitError);
  });
});
