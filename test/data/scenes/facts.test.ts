import { expect, test } from "vitest";
import { tellBriefly, tellFacts } from "../../../src/data/scenes/facts.js";
import { questionsFor } from "../../../src/data/scenes/questions/index.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";

test.each([
  ["Is there a duck?", "yes", "duck yes"],
  ["How many buses are there?", "3", "many buses 3"],
  ["Where is the circle?", "top left", "Where circle top left"],
  ["What is directly left of the crab?", "coat", "What directly left of crab coat"],
  ["What kind of object is at the top left?", "animal", "What kind top left animal"],
  ["Are the objects at the centre and at the top left the same?", "no", "objects centre top left no"],
])("%s %s", (question, answer, fact) => {
  expect(tellBriefly({ question, answer })).toBe(fact);
});

test("keywords tell apart all that is asked about a scene", () => {
  let numFacts = 0;
  let [shortLength, length] = [0, 0];
  for (let index = 0; index < 200; index++) {
    const scene = sampleScene({ seed: 3, split: "train", index, kind: "simple" });
    const questions = questionsFor(scene, { perFamily: 4 });
    const answers = new Map<string, string>();
    for (const { question, answer } of questions) {
      const asked = tellBriefly({ question, answer: "" });
      expect(answers.get(asked) ?? answer, asked).toBe(answer);
      answers.set(asked, answer);
    }
    numFacts += answers.size;
    const text = tellFacts(questions);
    expect(text.split(". ")).toHaveLength(questions.length);
    shortLength += text.length;
    length += questions.map(({ question, answer }) => `${question} ${answer}`).join(" ").length;
  }
  expect(shortLength).toBeLessThan(0.7 * length);
  expect(numFacts).toBeGreaterThan(2000);
});
