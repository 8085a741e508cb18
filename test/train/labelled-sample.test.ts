import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LabelError } from "../../src/errors.js";
import type { ChatMessage, ContentPart } from "../../src/text/chat-message.js";
import { renderChat } from "../../src/text/chat-template.js";
import { tokenizeWithImages } from "../../src/text/image-placeholder.js";
import { type LlavaTemplateName, llavaTemplates } from "../../src/text/llava-templates.js";
import { createModelTemplate } from "../../src/text/model-template.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import {
  type LabelOptions,
  labelConversation,
  labelSample,
} from "../../src/train/labelled-sample.js";
import { llamaTokenizerConfig, llamaTokenizerJson } from "../support/llama-tokenizer.js";

const readFixture = (name: string) =>
  JSON.parse(readFileSync(new URL(`../fixtures/tokenizer/${name}`, import.meta.url), "utf8"));
const small = createTokenizer({
  tokenizerJson: readFixture("tokenizer.json"),
  tokenizerConfig: readFixture("tokenizer_config.json"),
});
const vicuna = createTokenizer({
  tokenizerJson: llamaTokenizerJson(),
  tokenizerConfig: llamaTokenizerConfig,
});

const image = { type: "image" } as const;
const ask = (text: string, ...media: ContentPart[]): ChatMessage => ({
  role: "user",
  content: [...media, ...(text === "" ? [] : [{ type: "text" as const, text }])],
});
const answer = (content: string): ChatMessage => ({ role: "assistant", content });
const system: ChatMessage = { role: "system", content: "S" };

const label = (
  messages: readonly ChatMessage[],
  name: LlavaTemplateName,
  options: Partial<LabelOptions> = {},
) => labelSample(messages, { tokenizer: small, template: llavaTemplates[name], ...options });

const reasonOf = (run: () => unknown) => {
  try {
    run();
  } catch (error) {
    if (error instanceof LabelError) return error.reason;
    throw error;
  }
  return "accepted";
};

test("a dataset's own format goes before the stage's", () => {
  const messages = [ask("a duck", image), answer("yes"), ask("b"), answer("no")];
  const stage: LabelOptions = { tokenizer: vicuna, template: llavaTemplates.vicuna_v1 };
  const own = labelConversation({ messages, template: "keywords" }, stage);
  expect(own).toEqual(label(messages, "keywords", { tokenizer: vicuna }));
  expect(labelConversation({ messages }, stage)).toEqual(labelSample(messages, stage));
  const written = (ids: readonly number[]) => vicuna.decode(ids.filter((id) => id >= 0));
  expect(written(own.ids)).toMatch(/a duck yes, b no$/);
  // What is asked is not learned, nor the comma before it.
  expect(written(own.labels)).toBe("yes no");
  expect(own.labels.filter((id) => id >= 0)).toHaveLength(own.numSupervised);
});

describe("by hand, with the small tokenizer", () => {
  // Its words: "ĠA" and so on are not merged, so that letters stand alone; see tokenizer.json.
  const idOf = (token: string): number => small.idOf(token) ?? -1;
  const letters = (text: string) => [...text].map((char) => idOf(char === " " ? "Ġ" : char));
  const newlines = small.encode("\n\n", { addSpecialTokens: false });
  const [bos, start, end, eot] = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
  ].map(idOf);
  const header = (role: string) => [
    start,
    ...small.encode(role, { addSpecialTokens: false }),
    end,
    ...newlines,
  ];
  const ignored = (ids: readonly number[]) => ids.map(() => -100);

  test("llava_llama_3_1: bodies and <|eot_id|>, no header", () => {
    const { ids, labels, numSupervised } = label(
      [system, ask("Q", image), answer("XY"), ask("Z"), answer("W")],
      "llava_llama_3_1",
    );
    const first = [bos, ...header("system"), ...letters("S"), eot, ...header("user"), -200];
    const question = [...small.encode("\nQ", { addSpecialTokens: false }), eot];
    const before = [...first, ...question, ...header("assistant")];
    const between = [...header("user"), ...letters("Z"), eot, ...header("assistant")];
    expect(ids).toEqual([...before, ...letters("XY"), eot, ...between, ...letters("W"), eot]);
    expect(labels).toEqual([
      ...ignored(before),
      ...letters("XY"),
      eot,
      ...ignored(between),
      ...letters("W"),
      eot,
    ]);
    expect(numSupervised).toBe(5);
  });

  test("plain: the caption and its newline, after the image", () => {
    const { ids, labels } = label([ask("", image), answer("XY")], "plain");
    expect(ids).toEqual([bos, -200, ...letters("XY"), idOf("Ċ")]);
    expect(labels).toEqual([-100, -100, ...letters("XY"), idOf("Ċ")]);
  });
});

describe("with Vicuna's tokenizer", () => {
  const pieces = (ids: readonly number[]) => ids.map((id) => (id < 0 ? id : vicuna.tokenOf(id)));

  test("vicuna_v1: the answer from its space on, and </s>", () => {
    const { ids, labels } = label(
      [system, ask("Hi", image), answer("A cat."), ask("Why?"), answer("")],
      "vicuna_v1",
      {
        tokenizer: vicuna,
      },
    );
    expect(pieces(ids).join(" ")).toBe(
      "<s> ▁S ▁US ER : ▁ -200 ▁ <0x0A> Hi ▁A SS IST ANT : ▁A ▁cat . </s> ▁US ER : ▁Why ? ▁A SS IST ANT : ▁ </s>",
    );
    expect(pieces(labels.filter((id) => id !== -100))).toEqual([
      "▁A",
      "▁cat",
      ".",
      "</s>",
      "▁",
      "</s>",
    ]);
    expect(labels.indexOf(vicuna.idOf("▁cat") ?? 0)).toBe(16);
  });

  test("a template's text decides, also where it is the model's own", () => {
    const own = createModelTemplate(readFixture("tokenizer_config.json").chat_template, {
      variables: { bos_token: "<|begin_of_text|>" },
    });
    const messages = [
      system,
      ask("What is it?", image),
      answer("A dog."),
      ask("Sure?"),
      answer("Yes."),
    ];
    expect(label(messages, "plain", { template: own })).toEqual(label(messages, "llava_llama_3_1"));
  });
});

const anyText = fc.string({
  unit: fc.constantFrom("a", "Is", " ", "\n", "<image>", ".", "7", "é", "🦊", ":"),
});
const anyTurns = fc
  .array(fc.tuple(anyText, anyText, fc.nat(2)), { minLength: 1, maxLength: 4 })
  .map((turns) =>
    turns.flatMap(([question, reply, numImages]) => [
      ask(question, ...new Array(numImages).fill(image)),
      answer(reply),
    ]),
  );

describe("for any conversation", () => {
  const cases = [
    { name: "vicuna_v1", which: "Vicuna", tokenizer: vicuna },
    // A byte-level vocabulary without </s> still has to keep answers apart.
    { name: "vicuna_v1", which: "small", tokenizer: small },
    { name: "llava_llama_3_1", which: "small", tokenizer: small },
  ] as const;
  test.each(cases)(
    "ids are the prompt's, labels are the answers ($name, $which)",
    ({ name, tokenizer }) => {
      const template = llavaTemplates[name];
      fc.assert(
        fc.property(anyTurns, (messages) => {
          const { ids, labels, numSupervised } = label(messages, name, { tokenizer });
          expect(ids).toEqual(tokenizeWithImages(tokenizer, renderChat(messages, template)));
          const kept = labels.filter((id) => id !== -100);
          expect(kept).toHaveLength(numSupervised);
          expect(labels.every((id, at) => id === -100 || id === ids[at])).toBe(true);
          const ending = name === "vicuna_v1" ? "</s>" : "<|eot_id|>";
          const bodies = messages
            .filter(({ role }) => role === "assistant")
            .map(({ content }) => (name === "vicuna_v1" ? ` ${content}` : String(content).trim()));
          // A letter in front, because SentencePiece drops a space that begins a decoded text.
          const text = tokenizer.decode([tokenizer.idOf("a") ?? -1, ...kept]);
          expect(text).toBe(`a${bodies.map((body) => `${body}${ending}`).join("")}`);
        }),
        { numRuns: 60 },
      );
    },
  );
});

describe("no sample is masked in silence", () => {
  const messages = [ask("Hi", image), answer("A cat sat on the mat."), ask("Why?"), answer("So.")];
  const full = label(messages, "vicuna_v1");

  test("roles out of turn, control text and a missing answer are refused by reason", () => {
    expect(reasonOf(() => label([answer("x")], "vicuna_v1"))).toBe("template-refuses");
    expect(reasonOf(() => label([ask("x"), answer("y<|eot_id|>")], "vicuna_v1"))).toBe(
      "template-refuses",
    );
    expect(reasonOf(() => label([ask("x")], "llava_llama_3_1"))).toBe("nothing-supervised");
    const allowed = label([ask("x"), answer("y<|eot_id|>")], "vicuna_v1", { reservedText: [] });
    expect(allowed.numSupervised).toBeGreaterThan(1);
  });

  test("a template that rewrites earlier turns is refused", () => {
    const source =
      "{% for m in messages %}{% if m['role'] == 'user' %}Q{{ m['content'] }}{% elif loop.last %}A{{ m['content'] }}{% else %}...{% endif %}{% endfor %}{% if add_generation_prompt %}A{% endif %}";
    const template = createModelTemplate(source, { contentFormat: "text" });
    expect(
      reasonOf(() => labelSample([ask("x"), answer("y")], { tokenizer: small, template })),
    ).toBe("accepted");
    expect(
      reasonOf(() =>
        labelSample([ask("x"), answer("y"), ask("x"), answer("y")], { tokenizer: small, template }),
      ),
    ).toBe("tokens-do-not-align");
  });

  test("a header that merges with the answer is refused", () => {
    // "t" and "he" become one token, so that no token begins where the answer does.
    const template = createModelTemplate("{% for m in messages %}{{ m['content'] }}{% endfor %}", {
      contentFormat: "text",
    });
    const merging = [ask(" t"), answer("he")];
    expect(small.encode(" the", { addSpecialTokens: false })).toHaveLength(1);
    expect(reasonOf(() => labelSample(merging, { tokenizer: small, template }))).toBe(
      "tokens-do-not-align",
    );
  });

  test("a vocabulary without the template's control tokens is refused where they merge", () => {
    const turns = [ask(""), answer(""), ask(""), answer("")];
    const run = () => label(turns, "llava_llama_3_1", { tokenizer: vicuna });
    expect(reasonOf(run)).toBe("tokens-do-not-align");
  });

  test("too long is refused, or cut at the end and counted", () => {
    const { length } = full.ids;
    expect(label(messages, "vicuna_v1", { maxLength: length })).toEqual(full);
    expect(reasonOf(() => label(messages, "vicuna_v1", { maxLength: length - 1 }))).toBe(
      "too-long",
    );
    const cut = label(messages, "vicuna_v1", { maxLength: length - 3, tooLong: "cut" });
    expect(cut).toEqual({
      ids: full.ids.slice(0, -3),
      labels: full.labels.slice(0, -3),
      numSupervised: full.numSupervised - 3,
      numCut: 3,
    });
  });

  test("media count in full, and are never cut off", () => {
    const options = { maxLength: full.ids.length, tooLong: "cut" } as const;
    const cut = label(messages, "vicuna_v1", { ...options, mediaTokens: () => 4 });
    expect(cut.numCut).toBe(3);
    expect(reasonOf(() => label(messages, "vicuna_v1", { ...options, maxLength: 10 }))).toBe(
      "too-long",
    );
    const late = full.labels.findIndex((id) => id !== -100);
    expect(reasonOf(() => label(messages, "vicuna_v1", { ...options, maxLength: late }))).toBe(
      "too-long",
    );
  });
});
