import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ContextOverflowError, OptionsError, PromptError } from "../../src/errors.js";
import {
  type Answer,
  type AnswerEvent,
  collectAnswer,
  type GenerateRequest,
  loadModel,
  type VisionLanguageModel,
} from "../../src/node.js";
import { ask } from "../support/questions.js";
import { randomImage, useModelFolders, videoOf } from "../support/tiny-models.js";

const folders = useModelFolders();
let folder: string;
let model: VisionLanguageModel;
beforeAll(async () => {
  folder = await folders.write("llava-pad");
  model = await loadModel(folder, { threads: 1 });
});
afterAll(() => model.close());

/** Every event of a stream, and its answer. */
const record = async (request: GenerateRequest) => {
  const events: AnswerEvent[] = [];
  const stream = model.stream(request);
  for (;;) {
    const next = await stream.next();
    if (next.done) return { events, answer: next.value };
    events.push(next.value);
  }
};

describe("an answer", () => {
  test("repeats for the same seed, and says which seed was used", async () => {
    const first = await model.answer(ask("What is in the image?", { imageSeed: 1 }));
    const again = await model.answer(ask("What is in the image?", { imageSeed: 1 }));
    expect(again.ids).toEqual(first.ids);
    expect(again.seed).toBe(11);
    const { seed, ...free } = ask("What is in the image?", { imageSeed: 1, maxTokens: 20 });
    const drawn = await model.answer(free);
    const repeated = await model.answer({ ...free, seed: drawn.seed });
    expect(repeated.ids).toEqual(drawn.ids);
    expect(seed).not.toBe(drawn.seed);
  });

  test("depends on the image and on the question", async () => {
    const answers = await Promise.all(
      [
        ask("What is it?", { imageSeed: 1 }),
        ask("What is it?", { imageSeed: 2 }),
        ask("Where is it?", { imageSeed: 1 }),
        ask("What is it?"),
      ].map((request) => model.answer({ ...request, maxTokens: 24 })),
    );
    expect(new Set(answers.map(({ ids }) => String(ids))).size).toBe(4);
  });

  test("streams its text in pieces that add up to it, after a start that has the plan", async () => {
    const { events, answer } = await record(
      ask("Count the cats.", { imageSeed: 3, maxTokens: 30 }),
    );
    const [start, ...pieces] = events;
    expect(start).toMatchObject({ type: "start", promptTokens: answer.usage.promptTokens });
    const text = pieces.map((event) => (event.type === "text" ? event.text : "?")).join("");
    expect(text).toBe(answer.text);
    expect(pieces.length).toBeGreaterThan(3);
    const special = { skipSpecialTokens: true };
    const said = answer.finishReason === "stop" ? answer.ids.slice(0, -1) : answer.ids;
    expect(model.tokenizer.decode(said, special)).toBe(answer.text);
  });

  test("has as many tokens as asked for, and counts them all", async () => {
    for (const maxTokens of [1, 2, 9]) {
      const answer = await model.answer(ask("What?", { maxTokens, temperature: 0 }));
      expect(answer.ids.length).toBe(maxTokens);
      expect(answer.finishReason).toBe("length");
      expect(answer.usage.completionTokens).toBe(maxTokens);
      expect(answer.usage.cachedTokens).toBe(0);
    }
    const { usage } = await model.answer(ask("What?", { imageSeed: 1 }));
    expect(usage.promptTokens).toBe(usage.textTokens + usage.imageTokens);
  });

  test("is a prefix of the longer answer with the same seed", async () => {
    const long = await model.answer(ask("What?", { maxTokens: 25 }));
    const short = await model.answer(ask("What?", { maxTokens: 7 }));
    expect(short.ids).toEqual(long.ids.slice(0, 7));
  });

  test("ends at a stop id, which says nothing", async () => {
    const free = await model.answer(ask("What?", { maxTokens: 12 }));
    const stopId = free.ids[5];
    const place = free.ids.indexOf(stopId);
    const stopped = await model.answer(ask("What?", { maxTokens: 12, stopIds: [stopId] }));
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.ids).toEqual(free.ids.slice(0, place + 1));
    expect(stopped.text).toBe(model.tokenizer.decode(free.ids.slice(0, place)));
  });

  test("ends at a stop string, which is no part of it, in a stream and in a batch", async () => {
    const request = ask("What?", { maxTokens: 40 });
    const free = await model.answer(request);
    const stop = free.text.slice(4, 7);
    const asked = { ...request, stopStrings: [stop] };
    const { events, answer } = await record(asked);
    expect(answer.finishReason).toBe("stop");
    expect(answer.stopString).toBe(stop);
    expect(answer.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    const streamed = events.map((event) => (event.type === "text" ? event.text : "")).join("");
    expect(streamed).toBe(answer.text);
    const [first, second] = await model.answerBatch([asked, request]);
    expect([first.text, first.stopString, first.ids]).toEqual([answer.text, stop, answer.ids]);
    expect(second.ids).toEqual(free.ids);
  });

  test("plans what it takes: `count` runs nothing and is exact", async () => {
    const video = videoOf(
      [1, 2, 3, 4].map((seed) => randomImage(20, 30, seed)),
      { frameRate: 2 },
    );
    const request: GenerateRequest = {
      messages: [{ role: "user", content: [{ type: "video" }, { type: "text", text: "What?" }] }],
      media: [{ type: "video", video }],
      maxTokens: 1,
    };
    const count = model.count(request);
    expect(count.media[0].frames).toEqual({ sampled: 2, wanted: 2, total: 4, isCapped: false });
    const { usage, media } = await model.answer(request);
    expect(usage).toMatchObject({
      promptTokens: count.promptTokens,
      videoTokens: count.videoTokens,
    });
    expect(media).toEqual(count.media);
  });
});

describe("prefill in chunks", () => {
  test.each([1, 7])("of %i gives the ids of one of 512", async (prefillChunk) => {
    const chunked = await loadModel(folder, { threads: 1, prefillChunk });
    for (const request of [ask("What is it?"), ask("What is it?", { imageSeed: 4 })]) {
      const [a, b] = [await chunked.answer(request), await model.answer(request)];
      expect(a.ids).toEqual(b.ids);
    }
    await chunked.close();
  });
});

describe("a context", () => {
  test("that the prompt fills leaves room for the tokens that still fit", async () => {
    const request = ask("What?", { maxTokens: 50, temperature: 0 });
    const { promptTokens } = model.count(request);
    const small = await loadModel(folder, { threads: 1, contextLength: promptTokens + 3 });
    const answer = await small.answer(request);
    expect([answer.ids.length, answer.finishReason]).toEqual([3, "length"]);
    expect(answer.ids).toEqual((await model.answer(request)).ids.slice(0, 3));
    const [batched] = await small.answerBatch([request]);
    expect(batched.ids).toEqual(answer.ids);
    await small.close();
  });

  test("that is too short is refused before anything runs, in every way of asking", async () => {
    const request = ask("What is in the image?", { imageSeed: 1 });
    const { promptTokens } = model.count(request);
    const small = await loadModel(folder, { threads: 1, contextLength: promptTokens });
    let done = 0;
    const watched = { ...request, onProgress: () => (done += 1) };
    expect(() => small.count(watched)).toThrow(ContextOverflowError);
    await expect(small.answer(watched)).rejects.toThrow(
      `the prompt takes ${promptTokens} tokens and the context holds ${promptTokens}; shorten`,
    );
    await expect(small.answerBatch([ask("Hi"), watched])).rejects.toThrow(ContextOverflowError);
    const conversation = small.startConversation();
    await expect(
      collectAnswer(
        conversation.ask(request.messages[0].content, request.media, {
          onProgress: watched.onProgress,
        }),
      ),
    ).rejects.toThrow(ContextOverflowError);
    expect(conversation.messages).toEqual([]);
    expect(done).toBe(0);
    expect((await small.answer(ask("Hi", { maxTokens: 2 }))).ids.length).toBe(2);
    await small.close();
  });
});

describe("an abort", () => {
  test("ends a stream within one step, throws the signal's reason, and leaves the model usable", async () => {
    const request = ask("What?", { maxTokens: 200, imageSeed: 1 });
    const expected = (await model.answer({ ...request, maxTokens: 12 })).ids;
    const controller = new AbortController();
    const reason = new Error("enough");
    const texts: AnswerEvent[] = [];
    const stream = model.stream({ ...request, signal: controller.signal });
    const consumed = (async () => {
      for await (const event of stream) {
        texts.push(event);
        if (texts.length === 4) controller.abort(reason);
      }
    })();
    await expect(consumed).rejects.toBe(reason);
    expect(texts.length).toBeLessThanOrEqual(5);
    expect((await model.answer({ ...request, maxTokens: 12 })).ids).toEqual(expected);
  });

  test("before the first step runs nothing", async () => {
    const reason = new Error("changed my mind");
    for (const request of [ask("What?"), ask("What?", { imageSeed: 1 })]) {
      const aborted = { ...request, signal: AbortSignal.abort(reason) };
      await expect(model.answer(aborted)).rejects.toBe(reason);
      await expect(model.answerBatch([request, aborted])).rejects.toBe(reason);
    }
  });

  test("between the frames of a video ends it there", async () => {
    const controller = new AbortController();
    const frames = [1, 2, 3, 4, 5].map((seed) => randomImage(30, 30, seed));
    let done = 0;
    const answer = model.answer({
      messages: [{ role: "user", content: [{ type: "video" }, { type: "text", text: "What?" }] }],
      media: [{ type: "video", video: videoOf(frames) }],
      signal: controller.signal,
      onProgress: (frame) => {
        done = frame;
        if (frame === 2) controller.abort(new Error("seen enough"));
      },
    });
    await expect(answer).rejects.toThrow("seen enough");
    expect(done).toBe(2);
  });

  test("of any request of a batch ends the batch, and the next one works", async () => {
    const controller = new AbortController();
    const requests = [
      ask("One", { maxTokens: 400, temperature: 0, signal: new AbortController().signal }),
      ask("Two", { maxTokens: 400, temperature: 0, signal: controller.signal }),
    ];
    const started = performance.now();
    const batch = model.answerBatch(requests);
    setTimeout(() => controller.abort(new Error("stop")), 30);
    await expect(batch).rejects.toThrow("stop");
    expect(performance.now() - started).toBeLessThan(5000);
    expect((await model.answerBatch([ask("One")])).length).toBe(1);
  });

  test("of a consumer that leaves the stream frees it as well", async () => {
    for await (const event of model.stream(ask("What?", { maxTokens: 100 }))) {
      if (event.type === "text") break;
    }
    expect((await model.answer(ask("What?"))).ids.length).toBeGreaterThan(0);
  });
});

describe("a batch", () => {
  test("of unequal prompts, with and without images, equals each prompt alone", async () => {
    const requests = [
      ask("What is in the image?", { imageSeed: 1 }),
      ask("Hi", { maxTokens: 3 }),
      ask("How many cats are on the left of the red sign, and what does the sign say?", {
        imageSeed: 2,
        seed: 5,
        maxTokens: 16,
      }),
      ask("What is it?", { temperature: 0, maxTokens: 6 }),
    ];
    const alone: Answer[] = [];
    for (const request of requests) alone.push(await model.answer(request));
    for (const order of [
      [0, 1, 2, 3],
      [3, 2, 1, 0],
      [1, 1, 2, 0],
    ]) {
      const batch = await model.answerBatch(order.map((index) => requests[index]));
      batch.forEach((answer, place) => {
        const { ids, text, finishReason, usage, seed } = alone[order[place]];
        expect(answer).toMatchObject({ ids, text, finishReason, usage, seed });
      });
    }
  });

  test("of none is none, and one bad request refuses all before anything runs", async () => {
    expect(await model.answerBatch([])).toEqual([]);
    let done = 0;
    const good = ask("What?", { imageSeed: 1, onProgress: () => (done += 1) });
    await expect(model.answerBatch([good, ask("What?", { topP: 2 })])).rejects.toThrow(
      OptionsError,
    );
    expect(done).toBe(0);
  });
});

describe("a request is refused", () => {
  const user = (text: string) => ({ role: "user", content: text }) as const;

  test("with control tokens in its text", async () => {
    for (const token of ["<|eot_id|>", "<|start_header_id|>", "<|begin_of_text|>"]) {
      const asked = model.answer({ messages: [user(`Ignore this.${token}`)] });
      await expect(asked).rejects.toThrow(PromptError);
      await expect(asked).rejects.toThrow(`control text, got ${JSON.stringify(token)}`);
    }
    // Halves that join to one are one.
    const halves = [
      { type: "text", text: "<|eot" },
      { type: "text", text: "_id|>" },
    ] as const;
    await expect(model.answer({ messages: [{ role: "user", content: halves }] })).rejects.toThrow(
      PromptError,
    );
  });

  test("with media and messages that do not match, or without a question", async () => {
    const { media } = ask("What?", { imageSeed: 1 });
    await expect(model.answer({ messages: [user("What?")], media })).rejects.toThrow(PromptError);
    await expect(
      model.answer({ messages: [{ role: "user", content: [{ type: "image" }] }] }),
    ).rejects.toThrow(/got \[image\] and \[\]; give one for each part/);
    await expect(
      model.answer({ messages: [user("What?"), { role: "assistant", content: "That." }] }),
    ).rejects.toThrow(/last message must be the user's/);
    await expect(model.answer({ messages: [] })).rejects.toThrow(PromptError);
  });

  test("with options outside of their range, before anything runs", async () => {
    let done = 0;
    for (const options of [
      { maxTokens: 0 },
      { maxTokens: 1.5 },
      { temperature: -1 },
      { stopStrings: [""] },
    ]) {
      const request = ask("What?", { imageSeed: 1, ...options, onProgress: () => (done += 1) });
      await expect(model.answer(request)).rejects.toThrow(OptionsError);
    }
    expect(done).toBe(0);
  });
});

describe("two threads of work on one model", () => {
  test("do not disturb each other when interleaved token by token", async () => {
    const requests = [
      ask("What is it?", { imageSeed: 1, maxTokens: 15 }),
      ask("How many?", { imageSeed: 2, maxTokens: 15, seed: 4 }),
      ask("Where?", { maxTokens: 15 }),
    ];
    const alone = [];
    for (const request of requests) alone.push((await model.answer(request)).ids);
    const streams = requests.map((request) => model.stream(request));
    const answers = new Map<number, readonly number[]>();
    while (answers.size < streams.length) {
      for (const [index, stream] of streams.entries()) {
        if (answers.has(index)) continue;
        const next = await stream.next();
        if (next.done) answers.set(index, next.value.ids);
      }
    }
    expect(requests.map((_, index) => answers.get(index))).toEqual(alone);
  });

  test("nor when asked all at once", async () => {
    const requests = [1, 2, 3].map((imageSeed) => ask("What is it?", { imageSeed }));
    const alone = [];
    for (const request of requests) alone.push((await model.answer(request)).ids);
    const together = await Promise.all(requests.map((request) => model.answer(request)));
    expect(together.map(({ ids }) => ids)).toEqual(alone);
  });
});
