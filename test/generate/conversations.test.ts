import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PromptError } from "../../src/errors.js";
import {
  type Answer,
  type ChatMessage,
  type Conversation,
  collectAnswer,
  type GenerateOptions,
  loadModel,
  type Media,
  type VisionLanguageModel,
} from "../../src/node.js";
import { ask } from "../support/questions.js";
import { randomImage, type TinyModelName, useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
const options: GenerateOptions = { temperature: 0.05, seed: 9, maxTokens: 9 };
const picture: Media = { type: "image", image: randomImage(40, 31, 5) };
const withImage = (text: string): ChatMessage["content"] => [
  { type: "image" },
  { type: "text", text },
];
const turn = (conversation: Conversation, text: string, media: readonly Media[] = []) =>
  collectAnswer(conversation.ask(media.length > 0 ? withImage(text) : text, media, options));

describe.each<TinyModelName>(["llava-pad", "llava-next", "mini-1", "mini-2"])(
  "a conversation (%s)",
  (name) => {
    let model: VisionLanguageModel;
    beforeAll(async () => {
      model = await loadModel(await folders.write(name), { threads: 1 });
    });
    afterAll(() => model.close());

    test("answers each turn as a fresh run of the same messages, on what it kept of the last turn", async () => {
      const conversation = model.startConversation("Answer briefly.");
      const texts = ["What is in the image?", "How many are there?", "And what colour?"];
      for (const [index, text] of texts.entries()) {
        const asked: ChatMessage[] = [
          ...conversation.messages,
          { role: "user", content: index === 0 ? withImage(text) : text },
        ];
        const fresh = await model.answer({ ...options, messages: asked, media: [picture] });
        const answer = await turn(conversation, text, index === 0 ? [picture] : []);
        expect(answer.ids).toEqual(fresh.ids);
        expect(answer.text).toBe(fresh.text);
        expect(answer.usage.promptTokens).toBe(fresh.usage.promptTokens);
        expect(fresh.usage.cachedTokens).toBe(0);
        if (index === 0) expect(answer.usage.cachedTokens).toBe(0);
        // Full tokens: everything up to the last question stays. Fused ones may differ in the last bit.
        else if (name.startsWith("llava")) {
          expect(answer.usage.cachedTokens).toBeGreaterThan(answer.usage.promptTokens / 2);
        }
        expect(conversation.messages.at(-1)).toEqual({ role: "assistant", content: answer.text });
      }
      expect(conversation.messages.map(({ role }) => role)).toEqual([
        "system",
        ...texts.flatMap(() => ["user", "assistant"]),
      ]);
      await conversation.close();
    });

    test("interleaved with others goes on as if alone", async () => {
      const rows: [Media, string[]][] = [
        [picture, ["What is it?", "Where?", "Why?"]],
        [{ type: "image", image: randomImage(25, 50, 8) }, ["How many?", "Which colour?", "Sure?"]],
      ];
      const run = async (
        conversation: Conversation,
        [media, texts]: [Media, string[]],
        step: number,
      ) => (await turn(conversation, texts[step], step === 0 ? [media] : [])).ids;
      const alone: (readonly number[])[][] = [];
      for (const row of rows) {
        const conversation = model.startConversation();
        const ids = [];
        for (const step of [0, 1, 2]) ids.push(await run(conversation, row, step));
        alone.push(ids);
        await conversation.close();
      }
      const conversations = rows.map(() => model.startConversation());
      for (const step of [0, 1, 2]) {
        const answers = await Promise.all(
          rows.map((row, index) => run(conversations[index], row, step)),
        );
        expect(answers).toEqual(alone.map((ids) => ids[step]));
      }
      await Promise.all(conversations.map((conversation) => conversation.close()));
    });

    test("asked again after an abort goes on from its last complete turn", async () => {
      const conversation = model.startConversation();
      await turn(conversation, "What is it?", [picture]);
      const before = [...conversation.messages];
      const controller = new AbortController();
      const aborted = (async () => {
        const long = { ...options, maxTokens: 50, signal: controller.signal };
        for await (const event of conversation.ask("How many?", [], long)) {
          if (event.type === "text") controller.abort(new Error("enough"));
        }
      })();
      await expect(aborted).rejects.toThrow("enough");
      expect(conversation.messages).toEqual(before);
      const asked: ChatMessage[] = [...before, { role: "user", content: "Where?" }];
      const fresh = await model.answer({ ...options, messages: asked, media: [picture] });
      expect((await turn(conversation, "Where?")).ids).toEqual(fresh.ids);
      await conversation.close();
    });
  },
);

describe("a conversation", () => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await loadModel(await folders.write("mini-1"), { threads: 1 });
  });
  afterAll(() => model.close());

  test("takes one question at a time", async () => {
    const conversation = model.startConversation();
    const first = conversation.ask("What?", [], options);
    await first.next();
    await expect(turn(conversation, "Where?")).rejects.toThrow(PromptError);
    await expect(turn(conversation, "Where?")).rejects.toThrow(/one question at a time/);
    await collectAnswer(first);
    expect((await turn(conversation, "Where?")).ids.length).toBeGreaterThan(0);
    await conversation.close();
  });

  test("of LLaVA-Mini takes one image for all its turns, and stays as it was when given another", async () => {
    const conversation = model.startConversation();
    await turn(conversation, "What is it?", [picture]);
    const before = [...conversation.messages];
    const second = turn(conversation, "And this?", [picture]);
    await expect(second).rejects.toThrow(PromptError);
    await expect(second).rejects.toThrow(/takes 1 image or video in a conversation, got 2; give/);
    expect(conversation.messages).toEqual(before);
    await turn(conversation, "Where is it?");
    await conversation.close();
  });
});

describe("features of an image", () => {
  const watched = async (name: TinyModelName, featureCacheBytes?: number) => {
    const model = await loadModel(await folders.write(name), {
      threads: 1,
      ...(featureCacheBytes !== undefined && { featureCacheBytes }),
    });
    const answers: Answer[] = [];
    for (const request of [
      ask("What is it?", { imageSeed: 1 }),
      ask("How many?", { imageSeed: 1 }),
      ask("How many?", { imageSeed: 2 }),
      ask("What is it?", { imageSeed: 1 }),
    ]) {
      answers.push(await model.answer(request));
    }
    await model.close();
    return answers.map(({ ids }) => ids);
  };

  test.each<TinyModelName>(["llava-next", "mini-hd"])(
    "kept or not, answers are the same (%s)",
    async (name) => {
      const kept = await watched(name);
      expect(await watched(name, 0)).toEqual(kept);
      expect(kept[3]).toEqual(kept[0]);
      expect(kept[2]).not.toEqual(kept[1]);
    },
  );
});
