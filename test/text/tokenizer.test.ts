import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TokenizerError } from "../../src/errors.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import {
  llamaTokenizerConfig,
  llamaTokenizerJson,
  referenceEncode,
} from "../support/llama-tokenizer.js";
import { buildSmallTokenizer } from "../support/small-tokenizer.js";

const llama = createTokenizer({
  tokenizerJson: llamaTokenizerJson(),
  tokenizerConfig: llamaTokenizerConfig,
});
const files = buildSmallTokenizer();
const small = createTokenizer({
  tokenizerJson: files["tokenizer.json"],
  tokenizerConfig: files["tokenizer_config.json"],
  generationConfig: { eos_token_id: [308, 311] },
});
const anyText = fc.oneof(fc.string({ unit: "grapheme" }), fc.string({ unit: "binary" })); // never lone surrogates;

describe("a tokenizer.json with LLaMA's vocabulary gives SentencePiece's ids", () => {
  const texts = [
    "grabbed",
    " grabbed",
    "           grabbed",
    "\n",
    " \n",
    "\ttabs\t\t\t\tand\nnewlines\r\n",
    "A chat between a curious user and an artificial intelligence assistant. USER:",
    "What's in 3.14159 images, e.g. cafés at 9:30?",
    "镇 ax 编 ∑ Ωμέγα Привет 你好世界 こんにちは 🦙 👩‍👩‍👧",
    "def f(x):\n    return x ** 2  # squared",
    "\u0000\u001f\u200b\u{10ffff}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "▁ thick ▁▁ underscores",
  ];
  test.each(texts)("%j", (text) => {
    expect(llama.encode(text)).toEqual(referenceEncode(text));
    expect(llama.decode(llama.encode(text).slice(1))).toBe(text.replaceAll("▁", " "));
  });

  test("known ids of the SentencePiece model", () => {
    expect(llama.encode("grabbed")).toEqual([1, 2646, 1327, 287]);
    expect(llama.encode("           grabbed")).toEqual([1, 9651, 2646, 1327, 287]);
  });

  test("any text", () => {
    const text = fc
      .string({ unit: "grapheme", minLength: 1 })
      .filter((value) => !/<\/?s>|<unk>/.test(value));
    fc.assert(
      fc.property(text, (value) => {
        expect(llama.encode(value)).toEqual(referenceEncode(value));
      }),
      { numRuns: 300 },
    );
  });
});

describe("what a tokenizer says about itself", () => {
  test("special tokens, their ids, and every id that ends an answer", () => {
    expect(llama).toMatchObject({ vocabularySize: 32_000, bosId: 1, eosId: 2, eosIds: [2] });
    expect(llama.padId).toBeUndefined();
    expect(small.bosToken).toBe("<|begin_of_text|>");
    expect(small.eosIds).toEqual([308, 311]);
    expect(small.eosId).toBe(311);
    expect(small.padId).toBe(312);
    expect(small.idOf("<|eot_id|>")).toBe(311);
    expect(small.tokenOf(311)).toBe("<|eot_id|>");
    expect([small.isSpecial(311), small.isSpecial(0)]).toEqual([true, false]);
    expect(small.specialTokens).toContain("<|start_header_id|>");
  });

  test("the special tokens map stands in for a missing tokenizer_config.json", () => {
    const bare = createTokenizer({
      tokenizerJson: files["tokenizer.json"],
      specialTokensMap: files["special_tokens_map.json"],
    });
    expect(bare.bosId).toBe(small.bosId);
    expect(bare.padId).toBe(small.padId);
  });
});

test("decode undoes encode for any text, with special tokens skipped or not added", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const withoutSpecials = text.replaceAll("<|", "");
      const ids = small.encode(withoutSpecials);
      expect(ids[0]).toBe(small.bosId);
      expect(small.decode(ids, { skipSpecialTokens: true })).toBe(withoutSpecials);
      const plain = small.encode(withoutSpecials, { addSpecialTokens: false });
      expect(plain).toEqual(ids.slice(1));
    }),
  );
});

test("spaces before punctuation stay unless cleaning is asked for", () => {
  const ids = small.encode("( a , b ) .", { addSpecialTokens: false });
  expect(small.decode(ids)).toBe("( a , b ) .");
  expect(small.decode(ids, { cleanUpSpaces: true })).toBe("( a, b ).");
});

describe("files that cannot be used are typed errors", () => {
  const { model, ...withoutModel } = files["tokenizer.json"];
  const cases: [string, Parameters<typeof createTokenizer>[0], RegExp][] = [
    ["no model", { tokenizerJson: withoutModel }, /must hold a model/],
    ["an empty object", { tokenizerJson: {} }, /must hold a model/],
    [
      "an unknown model",
      { tokenizerJson: { ...files["tokenizer.json"], model: { type: "New", vocab: 3 } } },
      /must be BPE, Unigram or WordPiece, got "New"/,
    ],
    [
      "a model without merges",
      { tokenizerJson: { ...withoutModel, model: { ...model, merges: undefined } } },
      /must be one that can be used/,
    ],
    [
      "a BOS that is not in the vocabulary",
      { tokenizerJson: files["tokenizer.json"], tokenizerConfig: { bos_token: "<s>" } },
      /bos_token must be in the vocabulary, got "<s>"/,
    ],
    [
      "an EOS that is no id",
      { tokenizerJson: files["tokenizer.json"], generationConfig: { eos_token_id: ["x"] } },
      /eos_token_id/,
    ],
  ];
  test.each(cases)("%s", (_, broken, message) => {
    expect(() => createTokenizer(broken)).toThrow(TokenizerError);
    expect(() => createTokenizer(broken)).toThrow(message);
  });

  test("ids outside of the vocabulary, the image placeholder among them", () => {
    expect(() => small.decode([0, -200])).toThrow(/got -200/);
    expect(() => small.decode([320])).toThrow(TokenizerError);
    expect(small.decode([])).toBe("");
  });
});

describe("the fixture", () => {
  const folder = new URL("../fixtures/tokenizer/", import.meta.url);
  test.each(Object.entries(files))("%s is what its generator makes", async (name, content) => {
    const text = `${JSON.stringify(content, null, 1)}\n`;
    await expect(text).toMatchFileSnapshot(fileURLToPath(new URL(name, folder)));
  });

  test("fits a model with 320 words, uses every id, and merges", () => {
    expect(small.vocabularySize).toBeLessThanOrEqual(320);
    for (let id = 0; id < small.vocabularySize; id++) expect(small.tokenOf(id)).toBeDefined();
    expect(small.encode("What is the image", { addSpecialTokens: false }).length).toBe(4);
    expect(small.encode("!", { addSpecialTokens: false })).toEqual([0]);
  });
});
