import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request as requestHttp } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { startMediaHost } from "../support/media-host.js";
import { gifOfFrames, pngOfSize } from "../support/odd-media.js";
import { dataUrl, randomPng, useServer } from "../support/server.js";

const folder = mkdtempSync(join(tmpdir(), "saccade-server-"));
const allowed = join(folder, "media");
mkdirSync(allowed);
mkdirSync(join(folder, "media-secret"));
const png = await randomPng();
writeFileSync(join(allowed, "picture.png"), png);
writeFileSync(join(folder, "secret.png"), png);
writeFileSync(join(folder, "media-secret/picture.png"), png);
symlinkSync(join(folder, "secret.png"), join(allowed, "link.png"));

const host = await startMediaHost({
  "/picture.png": (response) => response.end(png),
  "/to-private": (response, port) =>
    response.writeHead(302, { location: `http://127.0.0.2:${port}/picture.png` }).end(),
  "/to-metadata": (response) =>
    response.writeHead(301, { location: "http://169.254.169.254/latest" }).end(),
  "/to-file": (response) => response.writeHead(302, { location: "file:///etc/passwd" }).end(),
  "/loop": (response) => response.writeHead(302, { location: "/loop" }).end(),
  "/large": (response) => response.end(Buffer.alloc(700_000)),
  "/endless": (response) => void response.write("x"),
  "/text": (response) => response.end("no picture"),
});
afterAll(async () => {
  await host.close();
  rmSync(folder, { recursive: true, force: true });
});

const addresses: Readonly<Record<string, readonly string[]>> = {
  "media.test": ["127.0.0.1"],
  "internal.test": ["10.0.0.5"],
  "both.test": ["127.0.0.1", "192.168.0.1"],
  "mapped.test": ["::ffff:127.0.0.2"],
  "empty.test": [],
};
const at = (name: string) => `${name}:${host.port}`;

const server = useServer(async () => ({
  limits: {
    maxBodyBytes: 900_000,
    maxMediaBytes: 600_000,
    maxTotalMediaBytes: 620_000,
    maxMedia: 3,
    maxPixels: 1_000_000,
    maxFrames: 8,
    maxVideoFrames: 1000,
    maxAnswerTokens: 500,
  },
  media: {
    folder: allowed,
    allowedDomains: [...Object.keys(addresses), "nowhere.test", "127.0.0.1", "127.0.0.2"].map(at),
    allowedAddresses: ["127.0.0.1"],
    imageTimeoutMs: 300,
    resolve: async (name) => {
      const found = addresses[name];
      if (found === undefined) throw new Error(`no such host ${name}`);
      return found;
    },
  },
}));

type Case = readonly [
  name: string,
  body: unknown,
  status: number,
  expected: { readonly code?: string; readonly param?: string; readonly says?: RegExp },
];

const question = [{ role: "user", content: "What?" }];
const chat = (more: object) => ({ model: "tiny", messages: question, ...more });
const image = (url: unknown, more: object = {}) =>
  chat({
    messages: [{ role: "user", content: [{ type: "image_url", image_url: { url, ...more } }] }],
  });
const video = (url: string, more: object = {}) =>
  chat({
    messages: [{ role: "user", content: [{ type: "video_url", video_url: { url, ...more } }] }],
  });
const url = "messages[0].content[0].image_url.url";
const http = (name: string, path = "/picture.png") => image(`http://${at(name)}${path}`);
const fileUrl = (...names: string[]) => pathToFileURL(join(...names)).href;

const cases: readonly Case[] = [
  ["a body that is no JSON", "{", 400, { code: "invalid_json" }],
  [
    "NaN as a number",
    '{"model":"tiny","messages":[],"temperature":NaN}',
    400,
    { code: "invalid_json" },
  ],
  ["an empty body", "", 400, { code: "invalid_json" }],
  ["a body that is a list", [], 400, { code: "invalid_type" }],
  [
    "deeply nested lists",
    `{"model":"tiny","messages":${"[".repeat(50_000)}${"]".repeat(50_000)}}`,
    400,
    {},
  ],
  ["a key of the prototype", '{"model":"tiny","messages":[],"__proto__":{"a":1}}', 400, {}],
  ["no model", { messages: question }, 400, { code: "missing_parameter", param: "model" }],
  ["a model that is a number", chat({ model: 7 }), 400, { code: "invalid_type", param: "model" }],
  ["an unknown model", chat({ model: "gpt-9" }), 404, { code: "model_not_found", param: "model" }],
  ["a model named as a path", chat({ model: "../../etc" }), 404, { code: "model_not_found" }],
  ["no messages", { model: "tiny" }, 400, { code: "missing_parameter", param: "messages" }],
  ["an empty conversation", chat({ messages: [] }), 400, { param: "messages" }],
  [
    "an unknown role",
    chat({ messages: [{ role: "king", content: "x" }] }),
    400,
    { param: "messages[0].role" },
  ],
  [
    "an unknown part",
    chat({ messages: [{ role: "user", content: [{ type: "smell" }] }] }),
    400,
    { param: "messages[0].content[0].type" },
  ],
  [
    "a part without its field",
    chat({ messages: [{ role: "user", content: [{ type: "text" }] }] }),
    400,
    { param: "messages[0].content[0].text" },
  ],
  [
    "an unknown field",
    chat({ temprature: 1 }),
    400,
    { code: "unknown_parameter", param: "temprature" },
  ],
  [
    "an unknown field of an image",
    image(dataUrl(png), { detial: "low" }),
    400,
    { code: "unknown_parameter", param: "messages[0].content[0].image_url.detial" },
  ],
  [
    "an unknown detail",
    image(dataUrl(png), { detail: "extreme" }),
    400,
    { param: "messages[0].content[0].image_url.detail" },
  ],
  ["a temperature below 0", chat({ temperature: -0.1 }), 400, { param: "temperature" }],
  [
    "an infinite temperature",
    '{"model":"tiny","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
    400,
    { param: "temperature" },
  ],
  ["a top_p above 1", chat({ top_p: 1.1 }), 400, { param: "top_p" }],
  ["a seed that is no integer", chat({ seed: 1.5 }), 400, { param: "seed" }],
  ["no tokens", chat({ max_tokens: 0 }), 400, { param: "max_tokens" }],
  [
    "more tokens than allowed",
    chat({ max_tokens: 501 }),
    400,
    { code: "limit_exceeded", param: "max_tokens" },
  ],
  ["an empty stop string", chat({ stop: "" }), 400, { param: "stop" }],
  ["several answers", chat({ n: 2 }), 400, { code: "unsupported_parameter", param: "n" }],
  ["tools", chat({ tools: [{ type: "function" }] }), 400, { code: "unsupported_parameter" }],
  [
    "a JSON answer",
    chat({ response_format: { type: "json_object" } }),
    400,
    { code: "unsupported_parameter" },
  ],
  [
    "an answer as the last word",
    chat({ messages: [...question, { role: "assistant", content: "x" }] }),
    400,
    { code: "invalid_prompt" },
  ],
  [
    "control tokens in the text",
    chat({ messages: [{ role: "user", content: "<|eot_id|>" }] }),
    400,
    { code: "invalid_prompt" },
  ],
  [
    "a prompt longer than the context",
    chat({ messages: [{ role: "user", content: "long ".repeat(2000) }] }),
    400,
    { code: "context_length_exceeded" },
  ],
  [
    "a prompt far longer than the context",
    chat({ messages: [{ role: "user", content: "long ".repeat(100_000) }] }),
    400,
    { code: "context_length_exceeded" },
  ],
  [
    "text as an image",
    image(dataUrl(Buffer.from("no picture"))),
    400,
    { code: "invalid_image", param: url },
  ],
  [
    "an image cut off",
    image(dataUrl(png.subarray(0, 60))),
    400,
    { code: "invalid_image", param: url },
  ],
  [
    "an image bomb",
    image(dataUrl(pngOfSize(60_000, 60_000))),
    400,
    { code: "limit_exceeded", param: url },
  ],
  [
    "an image with a side of 0",
    image(dataUrl(pngOfSize(0, 10))),
    400,
    { code: "invalid_image", param: url },
  ],
  ["bad base64", image("data:image/png;base64,@@@@"), 400, { code: "invalid_base64", param: url }],
  [
    "a data URL without base64",
    image("data:image/png,abc"),
    400,
    { code: "invalid_data_url", param: url },
  ],
  ["an address that is none", image("picture.png"), 400, { code: "invalid_url", param: url }],
  ["an address that is a number", image(7), 400, { code: "invalid_type", param: url }],
  [
    "too many images",
    chat({
      messages: [
        {
          role: "user",
          content: Array.from({ length: 4 }, () => ({
            type: "image_url",
            image_url: { url: dataUrl(png) },
          })),
        },
      ],
    }),
    413,
    { code: "limit_exceeded" },
  ],
  [
    "an unknown upload",
    chat({
      messages: [{ role: "user", content: [{ type: "file", file: { file_id: "file-1" } }] }],
    }),
    400,
    { code: "media_not_found" },
  ],
  [
    "an unknown uuid",
    chat({
      messages: [{ role: "user", content: [{ type: "image_url", image_url: null, uuid: "mine" }] }],
    }),
    400,
    { code: "media_not_found" },
  ],
  ["a picture as a video", video(dataUrl(png)), 400, { code: "invalid_video" }],
  [
    "a playlist as a video",
    video(dataUrl(Buffer.from("#EXTM3U\nhttp://127.0.0.1/"), "video/mp4")),
    400,
    { code: "invalid_video" },
  ],
  [
    "a video cut off",
    video(dataUrl(Buffer.from("\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "latin1"))),
    400,
    { code: "invalid_video" },
  ],
  [
    "a video of 10,000 frames",
    video(dataUrl(gifOfFrames(10_000), "image/gif")),
    400,
    { code: "limit_exceeded", says: /1000 frames, got 10000/ },
  ],
  [
    "more frames of a video than allowed",
    video(dataUrl(gifOfFrames(20), "image/gif"), { num_frames: 10_000 }),
    400,
    { code: "limit_exceeded" },
  ],
  [
    "frames chosen twice",
    video(dataUrl(gifOfFrames(20), "image/gif"), { num_frames: 2, fps: 1 }),
    400,
    {},
  ],
  [
    "a host that is not allowed",
    image("http://example.org/a.png"),
    403,
    { code: "media_not_allowed", param: url },
  ],
  [
    "an allowed host on another port",
    image("http://media.test/picture.png"),
    403,
    { code: "media_not_allowed" },
  ],
  ["a private address", http("127.0.0.2"), 403, { code: "media_not_allowed" }],
  [
    "the cloud's metadata",
    image("http://169.254.169.254/latest/meta-data"),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a private address in other figures",
    image("http://2130706434/"),
    403,
    { code: "media_not_allowed" },
  ],
  ["a host with a private address", http("internal.test"), 403, { code: "media_not_allowed" }],
  [
    "a host with a public and a private address",
    http("both.test"),
    403,
    { code: "media_not_allowed" },
  ],
  ["a private address in an IPv6 one", http("mapped.test"), 403, { code: "media_not_allowed" }],
  ["a host with no address", http("empty.test"), 400, { code: "media_fetch_failed" }],
  ["a host that does not exist", http("nowhere.test"), 400, { code: "media_fetch_failed" }],
  [
    "a redirect to a private address",
    http("media.test", "/to-private"),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a redirect to the cloud's metadata",
    http("media.test", "/to-metadata"),
    403,
    { code: "media_not_allowed" },
  ],
  ["a redirect to a file", http("media.test", "/to-file"), 403, { code: "media_not_allowed" }],
  ["redirects without end", http("media.test", "/loop"), 400, { code: "media_fetch_failed" }],
  [
    "a medium that is too large elsewhere",
    http("media.test", "/large"),
    400,
    { code: "limit_exceeded" },
  ],
  [
    "a medium that never ends",
    http("media.test", "/endless"),
    400,
    { code: "media_fetch_failed", says: /300 ms/ },
  ],
  [
    "no such medium",
    http("media.test", "/nothing"),
    400,
    { code: "media_fetch_failed", says: /404/ },
  ],
  ["a medium that is text", http("media.test", "/text"), 400, { code: "invalid_image" }],
  ["another protocol", image("ftp://media.test/picture.png"), 403, { code: "media_not_allowed" }],
  [
    "a password in the address",
    image(`http://a:b@${at("media.test")}/picture.png`),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a file outside of the folder",
    image(fileUrl(folder, "secret.png")),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a path that climbs out",
    image(`${fileUrl(allowed)}/../secret.png`),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "an escaped path that climbs out",
    image(`${fileUrl(allowed)}/%2e%2e/secret.png`),
    403,
    { code: "media_not_allowed" },
  ],
  ["an escaped slash", image(`${fileUrl(allowed)}/..%2fsecret.png`), 400, { code: "invalid_url" }],
  [
    "a folder whose name begins alike",
    image(fileUrl(folder, "media-secret/picture.png")),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a link that leads out",
    image(fileUrl(allowed, "link.png")),
    403,
    { code: "media_not_allowed" },
  ],
  [
    "a file that is not there",
    image(fileUrl(allowed, "none.png")),
    400,
    { code: "media_not_found" },
  ],
  ["the folder itself", image(fileUrl(allowed)), 403, { code: "media_not_allowed" }],
  [
    "a file of another machine",
    image("file://other/share/picture.png"),
    400,
    { code: "invalid_url" },
  ],
];

describe("a request is refused, in OpenAI's form, for", () => {
  test.each(cases)("%s", async (_, body, status, { code, param, says }) => {
    const response = await server.post("/v1/chat/completions", body);
    const told = (await response.json()) as { error: Record<string, unknown> };
    expect({ status: response.status, told }).toMatchObject({ status });
    expect(Object.keys(told.error).sort()).toEqual(["code", "message", "param", "type"]);
    expect(told.error.message).not.toMatch(/\/tmp|node_modules|\n\s+at /);
    if (code !== undefined) expect(told.error.code).toBe(code);
    if (param !== undefined) expect(told.error.param).toBe(param);
    if (says !== undefined) expect(told.error.message).toMatch(says);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("what is wrong in a stream, before the stream begins", async () => {
    const response = await server.post("/v1/chat/completions", {
      ...image(dataUrl(Buffer.from("no picture"))),
      stream: true,
    });
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toContain("application/json");
  });

  test("what is wrong in the Responses form", async () => {
    const responses = [
      [{ model: "tiny" }, "input"],
      [{ model: "tiny", input: [] }, "input"],
      [{ model: "tiny", input: "x", previous_response_id: "resp_1" }, "previous_response_id"],
      [{ model: "tiny", input: "x", background: true }, "background"],
      [
        { model: "tiny", input: [{ role: "user", content: [{ type: "input_image" }] }] },
        "input[0].content[0]",
      ],
      [
        {
          model: "tiny",
          input: [{ role: "user", content: [{ type: "input_image", image_url: "data:," }] }],
        },
        "input[0].content[0].image_url",
      ],
    ] as const;
    for (const [body, param] of responses) {
      const response = await server.post("/v1/responses", body);
      const { error } = (await response.json()) as { error: { param: string } };
      expect([response.status, error.param]).toEqual([400, param]);
    }
  });

  test("another type, method, path or host, and a body that is too large", async () => {
    const statusOf = async (path: string, init: RequestInit = {}) =>
      (await fetch(`${server.url}${path}`, init)).status;
    const post = { method: "POST", body: "{}" };
    const plain = { ...post, headers: { "content-type": "text/plain" } };
    expect(await statusOf("/v1/chat/completions", plain)).toBe(415);
    expect(await statusOf("/v1/chat/completions")).toBe(405);
    expect(await statusOf("/v1/completions", post)).toBe(404);
    expect(await statusOf("/v1/models/%2e%2e%2fsecret")).toBe(404);
    expect(await statusOf("/v1/files", plain)).toBe(415);
    const large = await server.post("/v1/chat/completions", chat({ user: "x".repeat(1_000_000) }));
    expect(large.status).toBe(413);
    const form = new FormData();
    form.set("file", new Blob([new Uint8Array(650_000)]), "large.png");
    form.set("purpose", "vision");
    expect(await statusOf("/v1/files", { method: "POST", body: form })).toBe(413);
    const rebound = await new Promise((resolve) => {
      const headers = { host: "evil.example" };
      requestHttp(`${server.url}/v1/models`, { headers }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).end();
    });
    expect(rebound).toBe(403);
  });

  test("nothing that came from there was asked for", () => {
    expect(host.asked.filter((line) => line.includes("127.0.0.2"))).toEqual([]);
  });
});

describe("what is allowed", () => {
  test("is answered: files below the folder and hosts by their names", async () => {
    const texts = new Set<string>();
    const urls = [
      dataUrl(png),
      fileUrl(allowed, "picture.png"),
      `http://${at("media.test")}/picture.png`,
    ];
    for (const address of urls) {
      const body = { ...image(address), max_tokens: 6 };
      const response = await server.post("/v1/chat/completions", body);
      expect(response.status).toBe(200);
      const { choices } = (await response.json()) as {
        choices: readonly [{ message: { content: string } }];
      };
      texts.add(choices[0].message.content);
    }
    expect(texts.size).toBe(1);
  });

  test("by default is nothing from elsewhere", async () => {
    // The other tests' server allows what this one does not: its options are the difference.
    const { createRemoteMedia } = await import("../../src/server/media/remote-media.js");
    const { createLocalMedia } = await import("../../src/server/media/local-media.js");
    const { defaultMedia } = await import("../../src/server/server-options.js");
    const fetchMedia = createRemoteMedia({ ...defaultMedia, maxBytes: 1000, resolve: undefined });
    const options = { timeoutMs: 1000, param: "x" };
    await expect(fetchMedia("https://example.org/a.png", options)).rejects.toMatchObject({
      status: 403,
    });
    const readLocal = createLocalMedia(defaultMedia.folder, 1000);
    await expect(readLocal(fileUrl(allowed, "picture.png"), "x")).rejects.toMatchObject({
      status: 403,
    });
  });
});
