import { APICallError, generateText, streamText } from "ai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSaccade, saccadeModel } from "../../src/ai-sdk/index.js";
import { decodeImage, loadModel, type VisionLanguageModel } from "../../src/node.js";
import { hookTimeoutMs, randomPng, useServer } from "../support/server.js";
import { useModelFolders } from "../support/tiny-models.js";

Object.assign(globalThis, { AI_SDK_LOG_WARNINGS: false });

const server = useServer({ apiKeys: ["secret"] }, { tiny: "llava-pad", mini: "mini-1" });
const folders = useModelFolders();
let local: VisionLanguageModel;
let picture: Buffer;
beforeAll(async () => {
  local = await loadModel(await folders.write("llava-pad"), { threads: 1 });
  picture = await randomPng();
}, hookTimeoutMs);
afterAll(() => local?.close());

const ways = {
  "over HTTP": () => createSaccade({ baseURL: `${server.url}/v1`, apiKey: "secret" })("tiny"),
  "in process": () => saccadeModel(local, { decodeImage }),
};
const settings = () => ({
  messages: [
    {
      role: "user" as const,
      content: [
        { type: "text" as const, text: "What is it?" },
        { type: "image" as const, image: picture },
      ],
    },
  ],
  maxOutputTokens: 12,
  temperature: 0.05,
  seed: 11,
  maxRetries: 0,
});

describe.each(Object.entries(ways))("the AI SDK %s", (name, way) => {
  test("generates text about an image, with usage and what was done", async () => {
    const result = await generateText({ model: way(), ...settings() });
    expect(result.text.length).toBeGreaterThan(0);
    expect(result.finishReason).toBe("length");
    expect(result.usage.outputTokens).toBe(12);
    expect(result.warnings).toEqual([]);
    const { saccade } = result.providerMetadata ?? {};
    const seen = name === "in process" ? saccade : (saccade?.vision as object);
    expect(seen).toMatchObject({ media: [{ type: "image", tokens: 16 }] });
    const again = await generateText({ model: way(), ...settings() });
    expect(again.text).toBe(result.text);
  });

  test("streams the same text in pieces", async () => {
    const { text } = await generateText({ model: way(), ...settings() });
    const result = streamText({ model: way(), ...settings() });
    const pieces: string[] = [];
    for await (const piece of result.textStream) pieces.push(piece);
    expect(pieces.join("")).toBe(text);
    expect(pieces.length).toBeGreaterThan(3);
    expect(await result.finishReason).toBe("length");
    expect((await result.usage).outputTokens).toBe(12);
  });

  test("takes several turns, a system text and stop sequences", async () => {
    const { text } = await generateText({ model: way(), ...settings() });
    const [asked] = settings().messages;
    const result = await generateText({
      model: way(),
      ...settings(),
      system: "Answer briefly.",
      messages: [
        asked,
        { role: "assistant", content: text },
        { role: "user", content: "And why?" },
      ],
    });
    expect(result.usage.inputTokens).toBeGreaterThan(20);
    const stop = text.slice(3, 6);
    const cut = await generateText({ model: way(), ...settings(), stopSequences: [stop] });
    expect(cut.text).toBe(text.slice(0, text.indexOf(stop)));
    expect(cut.finishReason).toBe("stop");
  });

  test("tells what it cannot do, and ends when it is aborted", async () => {
    const warned = await generateText({ model: way(), ...settings(), frequencyPenalty: 1 });
    expect(warned.warnings).toMatchObject([{ type: "unsupported", feature: "frequencyPenalty" }]);
    const refused = generateText({
      model: way(),
      ...settings(),
      providerOptions: { saccade: { granularity: 7 } },
    });
    await expect(refused).rejects.toThrow(/no choice of tokens/);
    const unknown = generateText({
      model: way(),
      ...settings(),
      providerOptions: { saccade: { granulrity: 7 } },
    });
    await expect(unknown).rejects.toThrow(/granulrity/);
    const controller = new AbortController();
    const long = streamText({
      model: way(),
      ...settings(),
      maxOutputTokens: 900,
      abortSignal: controller.signal,
      onError: () => {},
    });
    let pieces = 0;
    for await (const _ of long.textStream) if (++pieces === 2) controller.abort();
    expect(pieces).toBeLessThan(100);
  });
});

describe("the AI SDK over HTTP", () => {
  test("gives the answers of the model in process", async () => {
    const [http, process] = await Promise.all(
      Object.values(ways).map((way) => generateText({ model: way(), ...settings() })),
    );
    expect(http.text).toBe(process.text);
    expect(http.usage.inputTokens).toBe(process.usage.inputTokens);
  });

  test("throws what the server tells, and knows what may be tried again", async () => {
    const at = (apiKey: string, baseURL = `${server.url}/v1`) =>
      generateText({ model: createSaccade({ baseURL, apiKey })("tiny"), ...settings() }).catch(
        (error: unknown) => error,
      );
    const denied = await at("wrong");
    expect(APICallError.isInstance(denied) && [denied.statusCode, denied.isRetryable]).toEqual([
      401,
      false,
    ]);
    const absent = await at("secret", "http://127.0.0.1:9/v1");
    expect(APICallError.isInstance(absent) && absent.isRetryable).toBe(true);
  });
});
