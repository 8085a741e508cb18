import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError, TokenizerError } from "../../src/errors.js";
import { createStopMatcher } from "../../src/text/stop-strings.js";
import { createStreamingDecoder } from "../../src/text/streaming-decoder.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { llamaTokenizerConfig, llamaTokenizerJson } from "../support/llama-tokenizer.js";
import { buildSmallTokenizer } from "../support/small-tokenizer.js";

const files = buildSmallTokenizer();
const byteLevel = createTokenizer({
  tokenizerJson: files["tokenizer.json"],
  tokenizerConfig: files["tokenizer_config.json"],
});
const llamaJson = llamaTokenizerJson();
const sentencePiece = createTokenizer({
  tokenizerJson: llamaJson,
  tokenizerConfig: llamaTokenizerConfig,
});
const metaspace = createTokenizer({
  tokenizerJson: {
    ...llamaJson,
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  },
  tokenizerConfig: llamaTokenizerConfig,
});
const tokenizers = { byteLevel, sentencePiece, metaspace };

/** Ids that a model could write: words, bytes in any order, spaces, special tokens. */
const anyIds = (name: keyof typeof tokenizers) => {
  const { vocabularySize } = tokenizers[name];
  const id = fc.nat(vocabularySize - 1);
  // LLaMA's first 259 ids are specials and bytes; BOM and space pieces are the awkward ones.
  const awkward =
    name === "byteLevel"
      ? fc.oneof(fc.nat(255), fc.integer({ min: 307, max: 312 }))
      : fc.oneof(fc.nat(258), fc.constantFrom(29871, 259, 0xef + 3, 0xbb + 3, 0xbf + 3, 2));
  const encoded = fc
    .string({ unit: "grapheme" })
    .map((text) => tokenizers[name].encode(text, { addSpecialTokens: false }));
  return fc
    .array(
      fc.oneof(
        id.map((one) => [one]),
        awkward.map((one) => [one]),
        encoded,
      ),
      { maxLength: 12 },
    )
    .map((lists) => lists.flat());
};

describe.each(Object.keys(tokenizers) as (keyof typeof tokenizers)[])("%s", (name) => {
  const tokenizer = tokenizers[name];
  test.each([false, true])("pieces joined are decode(ids), skipping specials: %s", (skip) => {
    fc.assert(
      fc.property(anyIds(name), (ids) => {
        const decoder = createStreamingDecoder(tokenizer, { skipSpecialTokens: skip });
        const pieces = ids.map((id) => decoder.push(id));
        const rest = decoder.finish();
        expect(pieces.join("") + rest).toBe(tokenizer.decode(ids, { skipSpecialTokens: skip }));
        for (const piece of pieces) expect(() => encodeURIComponent(piece)).not.toThrow();
      }),
      { numRuns: 800 },
    );
  });

  test("text appears as soon as it is complete", () => {
    const text = "What is this? 你好 🦙 done";
    const ids = tokenizer.encode(text, { addSpecialTokens: false });
    const decoder = createStreamingDecoder(tokenizer);
    let shown = "";
    for (const [at, id] of ids.entries()) {
      shown += decoder.push(id);
      const complete = tokenizer.decode(ids.slice(0, at + 1)).replace(/\uFFFD+$/, "");
      if (name !== "metaspace") expect(shown).toBe(complete);
    }
    expect(shown + decoder.finish()).toBe(tokenizer.decode(ids));
  });
});

test("a character in several bytes is held until its last byte", () => {
  const decoder = createStreamingDecoder(sentencePiece);
  // U+1F999 is F0 9F A6 99; byte b has id b + 3.
  const pieces = [0xf0, 0x9f, 0xa6, 0x99].map((byte) => decoder.push(byte + 3));
  expect(pieces).toEqual(["", "", "", "🦙"]);
  expect(decoder.push(0xe2 + 3)).toBe("");
  expect(decoder.finish()).toBe("\uFFFD");
});

test("a byte order mark inside a run of bytes is kept, as decode keeps it", () => {
  const ids = [0xc3, 0xa9, 0xef, 0xbb, 0xbf, 0xc3, 0xa9].map((byte) => byte + 3);
  const decoder = createStreamingDecoder(sentencePiece);
  const streamed = ids.map((id) => decoder.push(id)).join("") + decoder.finish();
  expect(streamed).toBe("é\uFEFFé");
  expect(streamed).toBe(sentencePiece.decode(ids));
});

test("only the first piece loses its space", () => {
  const decoder = createStreamingDecoder(sentencePiece, { skipSpecialTokens: true });
  const ids = sentencePiece.encode("a red red bus");
  expect(ids.map((id) => decoder.push(id))).toEqual(["", "a", " red", " red", " bus"]);
});

test("an unknown id is an error and does not spoil the stream", () => {
  const decoder = createStreamingDecoder(byteLevel);
  expect(() => decoder.push(-200)).toThrow(TokenizerError);
  expect(decoder.push(0)).toBe("!");
});

test("decoders that join words are refused", () => {
  const wordPiece = createTokenizer({
    tokenizerJson: { ...files["tokenizer.json"], decoder: { type: "WordPiece", prefix: "##" } },
  });
  expect(() => createStreamingDecoder(wordPiece)).toThrow(/byte-level or SentencePiece-like/);
});

describe("stop strings", () => {
  /** The law, character by character. */
  const expected = (text: string, stops: readonly string[]) => {
    for (let end = 1; end <= text.length; end++) {
      const starts = stops
        .filter((stop) => text.slice(0, end).endsWith(stop))
        .map((stop) => end - stop.length);
      if (starts.length > 0) return text.slice(0, Math.min(...starts));
    }
    return text;
  };
  const run = (pieces: readonly string[], stops: readonly string[]) => {
    const matcher = createStopMatcher(stops);
    const results = pieces.map((piece) => matcher.push(piece));
    return { results, text: results.map(({ text }) => text).join("") + matcher.finish() };
  };
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "#"), maxLength: 12 });
  const anyStops = fc.array(
    letters.filter((stop) => stop.length > 0 && stop.length < 6),
    { maxLength: 3 },
  );

  test("shown text is the stream up to the first completed stop, however it is cut", () => {
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), anyStops, (pieces, stops) => {
        const { results, text } = run(pieces, stops);
        expect(text).toBe(expected(pieces.join(""), stops));
        for (const stop of stops) expect(text).not.toContain(stop);
        const stopped = stops.some((stop) => pieces.join("").includes(stop));
        expect(results.at(-1)?.stop !== undefined).toBe(stopped && pieces.length > 0);
      }),
      { numRuns: 2000 },
    );
  });

  test("only what may begin a stop is held back", () => {
    const matcher = createStopMatcher(["###", "</s>"]);
    expect(matcher.push("an # answer <")).toEqual({ text: "an # answer " });
    expect(matcher.push("b> #")).toEqual({ text: "<b> " });
    expect(matcher.push("##")).toEqual({ text: "", stop: "###" });
    expect(matcher.push("more")).toEqual({ text: "", stop: "###" });
  });

  test("without stops everything passes; an empty stop is refused", () => {
    expect(run(["a", "b"], []).text).toBe("ab");
    expect(() => createStopMatcher(["a", ""])).toThrow(OptionsError);
  });
});
