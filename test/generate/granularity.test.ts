/** AVG-LLaVA's granularities through the library: chosen, asked for, reported, in batches and turns. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Answer,
  type AnswerEvent,
  ContextOverflowError,
  collectAnswer,
  type GenerateRequest,
  loadModel,
  OptionsError,
  type VisionLanguageModel,
} from "../../src/node.js";
import { ask } from "../support/questions.js";
import { randomImage, useModelFolders, videoOf } from "../support/tiny-models.js";

const folders = useModelFolders();
let folder: string;
let model: VisionLanguageModel;
beforeAll(async () => {
  folder = await folders.write("avg");
  model = await loadModel(folder, { threads: 1 });
});
afterAll(() => model.close());

const routesOf = ({ media }: Answer) => media.map(({ routes }) => routes);
const question = "What is in the image?";

describe("an answer about an image", () => {
  test("says what was chosen, with probabilities, and of what; the plan said the most it could be", async () => {
    const request = ask(question, { imageSeed: 1, width: 90, height: 60 });
    const planned = model.count(request);
    const [{ tokens: most, tokenOptions, routes }] = planned.media;
    expect(routes).toBeUndefined();
    expect(tokenOptions?.chosenBy).toBe("router");
    expect(tokenOptions?.all.map(({ granularity }) => granularity)).toEqual([1, 2, 4, 8, 16]);
    expect(most).toBe(Math.max(...(tokenOptions?.all ?? []).map(({ tokens }) => tokens)));

    const answer = await model.answer(request);
    const [[route] = []] = routesOf(answer);
    expect(tokenOptions?.all).toContainEqual({
      granularity: route?.granularity,
      tokens: route?.tokens,
    });
    expect(route?.probabilities).toHaveLength(5);
    expect(answer.media[0].tokens).toBe(route?.tokens);
    expect(answer.usage.imageTokens).toBe(route?.tokens);
    expect(answer.usage.promptTokens).toBe(planned.textTokens + (route?.tokens ?? 0));
    expect(answer.timings.routerMs).toBeGreaterThan(0);
  });

  test("tells of the choice in its stream, between the plan and the text", async () => {
    const events: AnswerEvent[] = [];
    for await (const event of model.stream(ask(question, { imageSeed: 1 }))) events.push(event);
    expect(events.slice(0, 2).map(({ type }) => type)).toEqual(["start", "routed"]);
    const forced = ask(question, { imageSeed: 1, choice: { detail: "low" } });
    const types = [];
    for await (const event of model.stream(forced)) types.push(event.type);
    expect(types[0]).toBe("start");
    expect(types).not.toContain("routed");
  });

  test("takes what was asked for: by request, and by image before that", async () => {
    const image = randomImage(90, 60, 2);
    const messages = [
      {
        role: "user",
        content: [{ type: "image" }, { type: "image" }, { type: "text", text: question }],
      },
    ] as const;
    const request: GenerateRequest = {
      messages,
      media: [
        { type: "image", image },
        { type: "image", image, choice: { granularity: 4 } },
      ],
      choice: { detail: "low" },
      maxTokens: 2,
    };
    const planned = model.count(request);
    const answer = await model.answer(request);
    expect(routesOf(answer).map((routes) => routes?.[0].granularity)).toEqual([1, 4]);
    // Nothing was left to choose: the plan was exact.
    expect(answer.usage.promptTokens).toBe(planned.promptTokens);
  });

  test("keeps an image within its budget", async () => {
    const request = ask(question, { imageSeed: 3, width: 90, height: 60 });
    const [{ tokenOptions }] = model.count(request).media;
    for (const { tokens } of tokenOptions?.all ?? []) {
      const answer = await model.answer({ ...request, choice: { maxSoftTokens: tokens } });
      expect(answer.media[0].tokens).toBeLessThanOrEqual(tokens);
    }
  });

  test.each([
    [{ granularity: 3 }],
    [{ maxSoftTokens: 1 }],
    [{ granularity: 1, detail: "high" } as const],
    [{ detail: "some" as "low" }],
  ])("is refused for %o, before anything runs", async (choice) => {
    let done = 0;
    const onProgress = () => {
      done += 1;
    };
    const request = ask(question, { imageSeed: 1, choice, onProgress });
    expect(() => model.count(request)).toThrow(OptionsError);
    await expect(model.answer(request)).rejects.toThrow(OptionsError);
    expect(done).toBe(0);
  });

  test("is refused where the most that may be chosen does not fit, and not with a budget", async () => {
    const request = ask(question, { imageSeed: 1, width: 90, height: 60, maxTokens: 3 });
    const { promptTokens, textTokens } = model.count(request);
    const small = await loadModel(folder, { threads: 1, contextLength: promptTokens });
    await expect(small.answer(request)).rejects.toThrow(ContextOverflowError);
    const [{ tokenOptions }] = model.count(request).media;
    const maxSoftTokens = tokenOptions?.all.at(-2)?.tokens ?? 0;
    const answer = await small.answer({ ...request, choice: { maxSoftTokens } });
    expect(answer.usage.promptTokens).toBeLessThanOrEqual(textTokens + maxSoftTokens);
    await small.close();
  });
});

describe("several images, turns and samples", () => {
  test("a batch with different choices gives the answers of each request alone", async () => {
    const requests = [
      ask(question, { imageSeed: 1, width: 90, height: 60 }),
      ask("How many?", { imageSeed: 2, width: 30, height: 80 }),
      ask("Which one?", { imageSeed: 3, choice: { granularity: 16 } }),
      ask("Which one?", { imageSeed: 3, choice: { detail: "low" } }),
      ask("No image here."),
    ];
    const together = await model.answerBatch(requests);
    for (const [index, request] of requests.entries()) {
      const alone = await model.answer(request);
      expect(together[index].ids).toEqual(alone.ids);
      expect(routesOf(together[index])).toEqual(routesOf(alone));
    }
    const chosen = together.map((answer) => routesOf(answer)[0]?.[0].granularity);
    expect(chosen.slice(2)).toEqual([16, 1, undefined]);
  });

  test("every turn chooses anew, and gives what the whole conversation as one request gives", async () => {
    const conversation = model.startConversation();
    const image = randomImage(90, 60, 7);
    const options = { maxTokens: 4, temperature: 0 };
    const content = [{ type: "image" }, { type: "text", text: question }] as const;
    const first = await collectAnswer(
      conversation.ask([...content], [{ type: "image", image }], options),
    );
    const second = await collectAnswer(conversation.ask("And what colour has it?", [], options));
    const whole = await model.answer({
      ...options,
      messages: [
        { role: "user", content: [...content] },
        { role: "assistant", content: first.text },
        { role: "user", content: "And what colour has it?" },
      ],
      media: [{ type: "image", image }],
    });
    expect(routesOf(second)).toEqual(routesOf(whole));
    expect(second.ids).toEqual(whole.ids);
    expect(routesOf(second)[0]?.[0].logits).not.toEqual(routesOf(first)[0]?.[0].logits);
    const forced = await collectAnswer(
      conversation.ask("And now?", [], { ...options, choice: { granularity: 2 } }),
    );
    expect(routesOf(forced)[0]?.[0]).toMatchObject({ granularity: 2, chosenBy: "request" });
    await conversation.close();
  });

  test("each frame of a video has its own choice", async () => {
    const frames = [1, 2, 3].map((seed) => randomImage(60, 40, seed));
    const request: GenerateRequest = {
      messages: [{ role: "user", content: [{ type: "video" }, { type: "text", text: question }] }],
      media: [{ type: "video", video: videoOf(frames), sampling: { rule: "all" } }],
      maxTokens: 2,
    };
    const answer = await model.answer(request);
    const [routes = []] = routesOf(answer);
    expect(routes).toHaveLength(3);
    expect(new Set(routes.map(({ logits }) => String(logits))).size).toBe(3);
    expect(answer.usage.videoTokens).toBe(routes.reduce((sum, { tokens }) => sum + tokens, 0));
  });
});

describe("a model without a router", () => {
  test("sees everything, or what is asked for", async () => {
    const stage3 = await loadModel(await folders.write("avg-stage3"), { threads: 1 });
    const request = ask(question, { imageSeed: 1, maxTokens: 1 });
    const free = await stage3.answer(request);
    expect(routesOf(free)[0]?.[0]).toMatchObject({ granularity: 16, chosenBy: "model" });
    expect(free.timings.routerMs).toBeUndefined();
    const coarse = await stage3.answer({ ...request, choice: { detail: "low" } });
    expect(routesOf(coarse)[0]?.[0].granularity).toBe(1);
    await stage3.close();
  });

  test("or without granularities refuses a choice, and keeps a budget that it can keep", async () => {
    const plain = await loadModel(await folders.write("llava-pad"), { threads: 1 });
    const request = ask(question, { imageSeed: 1, maxTokens: 1 });
    const asking = (choice: GenerateRequest["choice"]) => plain.answer({ ...request, choice });
    await expect(asking({ detail: "low" })).rejects.toThrow(OptionsError);
    await expect(asking({ granularity: 4 })).rejects.toThrow("offers no choice");
    await expect(asking({ maxSoftTokens: 15 })).rejects.toThrow("takes 16 tokens");
    expect((await asking({ maxSoftTokens: 16 })).usage.imageTokens).toBe(16);
    expect((await asking({ detail: "auto" })).media[0].routes).toBeUndefined();
    await plain.close();
  });
});
