import OpenAI, { APIError, AuthenticationError, NotFoundError, toFile } from "openai";
import { beforeAll, describe, expect, test } from "vitest";
import { askAbout, dataUrl, randomPng, useServer } from "../support/server.js";

const server = useServer({}, { tiny: "llava-pad", mini: "mini-1" });
let client: OpenAI;
let picture: string;
let other: string;
beforeAll(async () => {
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  picture = dataUrl(await randomPng(45, 33, 1));
  other = dataUrl(await randomPng(45, 33, 2));
});

const settings = { model: "tiny", max_tokens: 12, temperature: 0.05, seed: 11 } as const;

describe("the official client", () => {
  test("gets an answer about an image, with its tokens", async () => {
    const answer = await client.chat.completions.create({
      ...settings,
      messages: askAbout("What is it?", picture),
    });
    const { usage, choices } = answer;
    expect(choices[0].message.role).toBe("assistant");
    expect(choices[0].finish_reason).toBe("length");
    expect(usage?.completion_tokens).toBe(12);
    expect(usage?.total_tokens).toBe((usage?.prompt_tokens ?? 0) + 12);
    expect(usage?.prompt_tokens_details).toMatchObject({ image_tokens: 16, video_tokens: 0 });
    expect(answer).toMatchObject({
      object: "chat.completion",
      model: "tiny",
      seed: 11,
      vision: {
        system: "llava",
        media: [
          {
            type: "image",
            width: 45,
            height: 33,
            tokens: 16,
            views: [{ role: "whole", box: { left: 0, top: 0, width: 45, height: 33 } }],
          },
        ],
      },
    });
    const { vision, timings } = answer as unknown as {
      vision: { flops: { total: number; vision: number } };
      timings: { prompt_ms: number; predicted_per_second: number };
    };
    expect(vision.flops.total).toBeGreaterThan(vision.flops.vision);
    expect(timings.prompt_ms).toBeGreaterThan(0);
  });

  test("streams the same answer in pieces, with usage where it is asked for", async () => {
    const request = { ...settings, messages: askAbout("What is it?", picture) };
    const whole = await client.chat.completions.create(request);
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let pieces = 0;
    let finish: string | null | undefined;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      const [choice] = chunk.choices;
      if (choice?.delta.content) pieces += 1;
      text += choice?.delta.content ?? "";
      finish = choice?.finish_reason ?? finish;
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(whole.choices[0].message.content);
    expect(pieces).toBeGreaterThan(3);
    expect(finish).toBe("length");
    expect(usage?.prompt_tokens).toBe(whole.usage?.prompt_tokens);
  });

  test("has conversations of several turns and several images, and uses what it kept", async () => {
    const first = askAbout("Which is larger?", picture, other);
    const answer = await client.chat.completions.create({ ...settings, messages: first });
    expect(answer.usage?.prompt_tokens_details).toMatchObject({ image_tokens: 32 });
    const { content } = answer.choices[0].message;
    const second = await client.chat.completions.create({
      ...settings,
      messages: [...first, { role: "assistant", content }, { role: "user", content: "And why?" }],
    });
    expect(second.usage?.prompt_tokens).toBeGreaterThan(answer.usage?.prompt_tokens ?? 0);
    const again = await client.chat.completions.create({ ...settings, messages: first });
    expect(again.choices[0].message.content).toBe(content);
    expect(again.usage?.prompt_tokens_details?.cached_tokens).toBe(
      (again.usage?.prompt_tokens ?? 0) - 1,
    );
  });

  test("counts tokens that an answer then uses", async () => {
    const body = { ...settings, messages: askAbout("How many are there?", picture) };
    const counted = await client.post<{ input_tokens: number }>("/chat/completions/input_tokens", {
      body,
    });
    const { usage } = await client.chat.completions.create(body);
    expect(counted.input_tokens).toBe(usage?.prompt_tokens);
    const input = [
      { role: "user" as const, content: [{ type: "input_text" as const, text: "How many?" }] },
    ];
    const planned = await client.responses.inputTokens.count({ model: "tiny", input });
    const response = await client.responses.create({ model: "tiny", input, max_output_tokens: 1 });
    expect(planned.input_tokens).toBe(response.usage?.input_tokens);
  });

  test("uses the Responses interface, streamed and not, with the same text as the chat's", async () => {
    const input: OpenAI.Responses.ResponseInput = [
      {
        role: "user",
        content: [
          { type: "input_image", image_url: picture, detail: "auto" },
          { type: "input_text", text: "What is it?" },
        ],
      },
    ];
    const request = { model: "tiny", input, max_output_tokens: 12, temperature: 0 };
    const chat = await client.chat.completions.create({
      ...settings,
      temperature: 0,
      messages: askAbout("What is it?", picture),
    });
    const response = await client.responses.create(request);
    expect(response.output_text).toBe(chat.choices[0].message.content);
    expect(response.status).toBe("incomplete");
    expect(response.incomplete_details?.reason).toBe("max_output_tokens");
    expect(response.usage?.input_tokens).toBe(chat.usage?.prompt_tokens);
    let text = "";
    const types: string[] = [];
    const numbers: number[] = [];
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(text).toBe(response.output_text);
    expect(numbers).toEqual(numbers.map((_, index) => index));
    expect(types.slice(0, 4)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
    ]);
    expect(types.at(-1)).toBe("response.incomplete");
    const helper = client.responses.stream(request);
    expect((await helper.finalResponse()).output_text).toBe(text);
  });

  test("uploads an image once and asks about it, in both interfaces", async () => {
    const file = await client.files.create({
      file: await toFile(await randomPng(45, 33, 1), "picture.png"),
      purpose: "vision",
    });
    const response = await client.responses.create({
      model: "tiny",
      temperature: 0,
      max_output_tokens: 8,
      input: [
        {
          role: "user",
          content: [
            { type: "input_image", file_id: file.id, detail: "auto" },
            { type: "input_text", text: "What is it?" },
          ],
        },
      ],
    });
    const chat = await client.chat.completions.create({
      ...settings,
      temperature: 0,
      max_tokens: 8,
      messages: askAbout("What is it?", picture),
    });
    expect(response.output_text).toBe(chat.choices[0].message.content);
    expect((await client.files.list()).data.map(({ id }) => id)).toContain(file.id);
    await client.files.delete(file.id);
    await expect(client.files.retrieve(file.id)).rejects.toThrow(NotFoundError);
  });

  test("lists models, and gets its own classes of errors with the field at fault", async () => {
    const models = await client.models.list();
    expect(models.data.map(({ id }) => id)).toEqual(["tiny", "mini"]);
    const found = await client.models.retrieve("mini");
    expect(found).toMatchObject({ id: "mini", vision: { tokens_per_image: 1, max_media: 1 } });
    const unknown = client.chat.completions.create({
      ...settings,
      model: "none",
      messages: askAbout("x"),
    });
    await expect(unknown).rejects.toThrow(NotFoundError);
    const wrong = client.chat.completions
      .create({ ...settings, temperature: -1, messages: askAbout("x") })
      .catch((error: unknown) => error);
    expect(await wrong).toMatchObject({ status: 400, param: "temperature", code: "invalid_value" });
    expect(await wrong).toBeInstanceOf(APIError);
    const two = client.chat.completions.create({
      ...settings,
      model: "mini",
      messages: askAbout("x", picture, other),
    });
    await expect(two).rejects.toThrow(/takes 1 image or video/);
  });

  test("ends a stream by leaving it; the server stops working on it", async () => {
    const stream = await client.chat.completions.create({
      ...settings,
      max_tokens: 900,
      messages: askAbout("Tell me a long story."),
      stream: true,
    });
    for await (const _ of stream) break;
    stream.controller.abort();
    const [, pool] = server.running.models.pools[0];
    for (let tries = 0; tries < 200 && pool.numRunning > 0; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(pool.numRunning).toBe(0);
  });
});

describe("a server with keys", () => {
  const guarded = useServer({ apiKeys: ["first", "second"] });

  test("answers whoever brings one, and keeps their uploads apart", async () => {
    const of = (apiKey: string) =>
      new OpenAI({ baseURL: `${guarded.url}/v1`, apiKey, maxRetries: 0 });
    await expect(of("wrong").models.list()).rejects.toThrow(AuthenticationError);
    const file = await of("first").files.create({
      file: await toFile(await randomPng(), "picture.png"),
      purpose: "vision",
    });
    expect((await of("first").files.retrieve(file.id)).id).toBe(file.id);
    await expect(of("second").files.retrieve(file.id)).rejects.toThrow(NotFoundError);
    expect((await of("second").files.list()).data).toEqual([]);
    expect((await fetch(`${guarded.url}/metrics`)).status).toBe(401);
    expect((await fetch(`${guarded.url}/health`)).status).toBe(200);
  });
});
