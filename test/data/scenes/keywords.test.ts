import { expect, test } from "vitest";
import { keywordsOf } from "../../../src/data/scenes/keywords.js";
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
