import { expect, test } from "vitest";
import { keywordsOf } from "../../../src/data/scenes/keywords.js";
import { createRecords } from "../../../src/data/scenes/llava-records.js";
import { questionsFor } from "../../../src/data/scenes/questions/index.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";

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
