import { describe, expect, it } from "vitest";
import { describeScene } from "../../../src/data/scenes/descriptions.js";
import { keywordsOf } from "../../../src/data/scenes/keywords.js";
import { describeClipRequest, describeRequest } from "../../../src/data/scenes/llava-records.js";
import { objectClasses, pluralOf, withArticle } from "../../../src/data/scenes/object-classes.js";
import { questionsFor } from "../../../src/data/scenes/questions/index.js";
import { sceneKinds } from "../../../src/data/scenes/random.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import type { Scene } from "../../../src/data/scenes/scene.js";
import { formatText, sampleText } from "../../../src/data/scenes/texts.js";
import {
  buildSceneTokenizer,
  sceneVocabularySize,
  sceneWords,
} from "../../../src/data/scenes/vocabulary.js";
import { llavaTemplates } from "../../../src/text/llava-templates.js";
import { checkSliceMarkers, unknownMarkers } from "../../../src/text/slice-layout.js";
import { createTokenizer } from "../../../src/text/tokenizer.js";

const files = buildSceneTokenizer();
const tokenizer = createTokenizer({
  tokenizerJson: files["tokenizer.json"],
  tokenizerConfig: files["tokenizer_config.json"],
  specialTokensMap: files["special_tokens_map.json"],
});
const tokensOf = (text: string): string[] =>
  tokenizer.encode(text, { addSpecialTokens: false }).map((id) => tokenizer.tokenOf(id) ?? "?");

const scenes: readonly Scene[] = sceneKinds.flatMap((kind) =>
  Array.from({ length: 1500 }, (_, index) =>
    sampleScene({ seed: 21, split: "train", index, kind }),
  ),
);
const texts = scenes.flatMap((scene) => [
  describeScene(scene),
  ...questionsFor(scene).flatMap(({ question, answer }) => [
    question,
    ` ${keywordsOf(question)}`,
    ` ${answer}`,
  ]),
]);

describe("the tokenizer of Scenes", () => {
  it("has a few hundred tokens, LLaMA's special ones first", () => {
    expect(tokenizer.vocabularySize).toBe(sceneVocabularySize);
    expect(sceneVocabularySize).toBeLessThanOrEqual(640);
    expect([tokenizer.idOf("<unk>"), tokenizer.bosId, tokenizer.eosId]).toEqual([0, 1, 2]);
  });

  it("has LLaVA-UHD's markers as one token each, in place of bytes that no text has", () => {
    const view = "<image></image><slice></slice>\n<slice></slice>";
    expect(tokensOf(`<image_id>0</image_id>${view}`)).toEqual(
      ["<image_id>", "0", "</image_id>", "<image>", "</image>"].concat([
        "<slice>",
        "</slice>",
        "Ċ",
        "<slice>",
        "</slice>",
      ]),
    );
    expect(() => checkSliceMarkers(tokenizer, unknownMarkers)).not.toThrow();
    expect(tokenizer.isSpecial(tokenizer.idOf("<slice>") ?? -1)).toBe(true);
    // One character of every first byte that UTF-8 has.
    const firsts = [...Array(0x80).keys()]
      .concat(Array.from({ length: 30 }, (_, at) => (at + 2) * 0x40))
      .concat(Array.from({ length: 13 }, (_, at) => (at + 1) * 0x1000 - 1))
      .concat([0xe000, 0xffff, 0x10000, 0x40000, 0x80000, 0xc0000, 0x10ffff]);
    const text = String.fromCodePoint(...firsts);
    expect(tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false }))).toBe(text);
  });

  it("writes every word of Scenes as one token, digits and signs one by one", () => {
    const broken = new Set<string>();
    for (const text of texts)
      for (const token of tokensOf(text)) {
        // Single letters are the beginnings and ends of codes, the "s" of plurals and the word "A".
        if (/^[a-z]$/.test(token) && token !== "s") broken.add(text);
        if (/\d/.test(token)) expect(token).toHaveLength(1);
      }
    expect([...broken].slice(0, 5)).toEqual([]);
    expect(tokensOf("Where is the cat?")).toEqual(["Where", "Ġis", "Ġthe", "Ġcat", "?"]);
    expect(tokensOf(" top left")).toEqual(["Ġtop", "Ġleft"]);
    expect(tokensOf(" 47.5")).toEqual(["Ġ", "4", "7", ".", "5"]);
  });

  it("shares a token between a noun and its regular plural", () => {
    expect(tokensOf("How many cats are there?")).toEqual([
      "How",
      "Ġmany",
      "Ġcat",
      "s",
      "Ġare",
      "Ġthere",
      "?",
    ]);
    expect(tokensOf(" buses cacti fish")).toEqual(["Ġbuses", "Ġcacti", "Ġfish"]);
    for (const { name, plural } of objectClasses) {
      expect(tokensOf(` ${name}`)).toEqual([`Ġ${name}`]);
      expect(tokensOf(` ${plural}`)).toEqual(
        plural === `${name}s` ? [`Ġ${name}`, "s"] : [`Ġ${plural}`],
      );
    }
  });

  it("gives every text back, foreign ones and empty ones too", () => {
    for (const text of [...texts.slice(0, 500), "Żółw? 🐢\n\tx_y  z", "", "carshats buss"]) {
      const ids = tokenizer.encode(text, { addSpecialTokens: false });
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });

  it("has no word that Scenes never say", () => {
    const said = new Set([...texts, describeRequest, describeClipRequest].flatMap(tokensOf));
    const request = `${llavaTemplates.vicuna_v1.systemText} USER: ASSISTANT:`;
    for (const token of [...tokensOf(request), ...tokensOf(` ${request}`)]) said.add(token);
    const unsaid = sceneWords.filter((word) => !said.has(`Ġ${word}`) && !said.has(word));
    expect(unsaid).toEqual([]);
  });

  it("writes the system text of vicuna_v1 in words", () => {
    const tokens = tokensOf(` ${llavaTemplates.vicuna_v1.systemText}`);
    expect(tokens.length).toBeLessThanOrEqual(36);
  });
});

describe("descriptions", () => {
  it("name every thing with its place, whatever the order", () => {
    for (const scene of scenes) {
      if (scene.kind !== "simple") continue;
      const text = describeScene(scene);
      const { grid } = scene;
      const sentences = text.split(". ");
      expect(sentences.filter((one) => / (shows|is at the) | empty/.test(one))).toHaveLength(
        grid.rows * grid.columns,
      );
      for (const { name, colour } of grid.things)
        expect(text.toLowerCase()).toContain(withArticle(colour ? `${colour} ${name}` : name));
    }
  });

  it("differ in order and words between variants, not in what they say", () => {
    const words = (text: string) =>
      text
        .toLowerCase()
        .replace(/[.]/g, "")
        .split(" ")
        .filter((word) => !["shows", "is", "at", "the"].includes(word))
        .sort();
    let numDifferent = 0;
    for (const scene of scenes.slice(0, 200)) {
      const [one, other] = [describeScene(scene), describeScene(scene, 1)];
      numDifferent += one === other ? 0 : 1;
      expect(words(one)).toEqual(words(other));
      expect(describeScene(scene, 1)).toBe(other);
    }
    expect(numDifferent).toBeGreaterThan(180);
  });

  it("hold the answer to every question that looks a word up", () => {
    const lookups = ["place", "content", "colour", "colour-thing", "label", "label-thing"].concat(
      ["number", "word", "code", "sign", "way", "receipt-total", "receipt-price", "receipt-item"],
      ["table-cell", "table-row", "chart-value", "clip-direction", "clip-first", "clip-next"],
    );
    for (const scene of scenes) {
      const { description, questions } = sampleText(scene, { families: lookups });
      for (const { answer, question } of questions) {
        if (answer === "nothing") expect(description).toContain("empty");
        else expect(description.toLowerCase(), question).toContain(answer.toLowerCase());
      }
    }
  });

  it("come with questions and answers as one text, a line each", () => {
    const scene = sampleScene({ seed: 1, split: "train", index: 1, kind: "simple" });
    const text = sampleText(scene);
    const lines = formatText(text).split("\n");
    expect(lines[0]).toBe(describeScene(scene));
    expect(lines).toHaveLength(1 + text.questions.length);
    expect(lines[1]).toBe(`${text.questions[0].question} ${text.questions[0].answer}`);
  });

  it("use articles and plurals as English does", () => {
    expect(["owl", "cat", "apple", "orange star"].map(withArticle)).toEqual([
      "an owl",
      "a cat",
      "an apple",
      "an orange star",
    ]);
    expect(["bus", "cactus", "cross", "cat"].map(pluralOf)).toEqual([
      "buses",
      "cacti",
      "crosses",
      "cats",
    ]);
  });
});
