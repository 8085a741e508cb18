import { expect, test } from "vitest";
import { describeScene } from "../../../src/data/scenes/descriptions.js";
import { keywordsOf } from "../../../src/data/scenes/keywords.js";
import { createRecords } from "../../../src/data/scenes/llava-records.js";
import { questionsFor } from "../../../src/data/scenes/questions/index.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import { detailTypes } from "../../../src/data/scenes/sample-detail.js";

test.each([
  ["Is there a duck?", "duck"],
  ["How many buses are there?", "many buses"],
  ["Where is the circle?", "Where circle"],
  ["What is directly left of the crab?", "What directly left of crab"],
  ["What kind of object is at the top left?", "What kind top left"],
  ["Are the objects at the centre and at the top left the same?", "objects centre top left"],
])("%s", (question, keywords) => {
  expect(keywordsOf(question)).toBe(keywords);
});

test("keywords tell apart all that is asked about a scene, in fewer words", () => {
  const numWords = { keywords: 0, questions: 0 };
  for (let index = 0; index < 200; index++) {
    const scene = sampleScene({ seed: 3, split: "train", index, kind: "simple" });
    const answers = new Map<string, string>();
    for (const { question, answer } of questionsFor(scene, { perFamily: 4 })) {
      const keywords = keywordsOf(question);
      expect(answers.get(keywords) ?? answer, keywords).toBe(answer);
      answers.set(keywords, answer);
      numWords.keywords += keywords.split(" ").length;
      numWords.questions += question.split(" ").length;
    }
  }
  expect(numWords.keywords).toBeGreaterThan(2000);
  expect(numWords.keywords).toBeLessThan(0.55 * numWords.questions);
});

test("columns are the last words of places", () => {
  for (let index = 0; index < 60; index++) {
    const scene = sampleScene({ seed: 3, split: "train", index, kind: "simple" });
    const [record] = createRecords(scene, "a.png", { contents: ["columns"], turns: "all" });
    const places = new Map(
      questionsFor(scene, { families: ["place"], perFamily: 40 }).map(({ question, answer }) => [
        question.slice("Where is the ".length, -1),
        answer.split(" ").at(-1),
      ]),
    );
    const told = record?.conversations ?? [];
    expect(told.length).toBe(2 * places.size);
    for (let turn = 0; turn < told.length; turn += 2) {
      const name = told[turn].value.replace("<image>\n", "").replace("left right ", "");
      expect(told[turn + 1].value, name).toBe(places.get(name));
    }
  }
});

test("characters are those of the print that questions are answered with, by their place", () => {
  for (const detail of detailTypes) {
    for (let index = 0; index < 20; index++) {
      const scene = sampleScene({ seed: 3, split: "train", index, kind: "detail", detail });
      const [record] = createRecords(scene, "a.png", { contents: ["characters"], turns: "all" });
      const description = describeScene(scene);
      const told = record?.conversations ?? [];
      expect(told.length).toBeGreaterThanOrEqual(4);
      expect(told.length).toBeLessThanOrEqual(24);
      for (let turn = 0; turn < told.length; turn += 2) {
        const [, key, place] = /^(.+) (\d)$/.exec(told[turn].value.replace("<image>\n", "")) ?? [];
        const sentences = description.slice(0, -1).toLowerCase().split(". ");
        const words = key.toLowerCase().split(" ");
        const has = (sentence: string) =>
          words.every((word) => ` ${sentence} `.includes(` ${word} `)) &&
          sentence
            .split(" ")
            .some((word) => word[Number(place) - 1] === told[turn + 1].value.toLowerCase());
        expect(sentences.some(has), `${key} ${place} in ${description}`).toBe(true);
      }
    }
  }
});

test("scenes without print have no characters", () => {
  const scene = sampleScene({ seed: 3, split: "train", index: 0, kind: "simple" });
  expect(createRecords(scene, "a.png", { contents: ["characters"], turns: "all" })).toEqual([]);
});
