import sharp from "sharp";
import { afterAll, beforeAll } from "vitest";
import type { RunningServer, ServerOptions } from "../../src/server/index.js";
import { startServer } from "../../src/server/index.js";
import { randomImage, type TinyModelName, useModelFolders } from "./tiny-models.js";

/** Threads start slowly while other tests have the processors. */
export const hookTimeoutMs = 60_000;

type TestOptions = Partial<Omit<ServerOptions, "models">>;

/** Starts a server of tiny models for all tests of a file. */
export const useServer = (
  given: TestOptions | (() => Promise<TestOptions>) = {},
  names: Readonly<Record<string, TinyModelName>> = { tiny: "llava-pad" },
) => {
  const folders = useModelFolders();
  let server: RunningServer;
  beforeAll(async () => {
    const options = typeof given === "function" ? await given() : given;
    const models: Record<string, string> = {};
    for (const [name, kind] of Object.entries(names)) models[name] = await folders.write(kind);
    server = await startServer({
      port: 0,
      ...options,
      load: { threads: 1, ...options.load },
      models,
    });
    await server.ready;
  }, hookTimeoutMs);
  afterAll(() => server?.close());
  return {
    get running() {
      return server;
    },
    get url() {
      return server.url;
    },
    /** Asks with JSON; a string is sent as it is. */
    post: async (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
      fetch(`${server.url}${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
  };
};

/** A PNG of random pixels. */
export const randomPng = async (width = 45, height = 33, seed = 1): Promise<Buffer> => {
  const { data } = randomImage(width, height, seed);
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
};

export const dataUrl = (bytes: Buffer, type = "image/png"): string =>
  `data:${type};base64,${bytes.toString("base64")}`;

/** A user message with a picture. */
export const askAbout = (text: string, ...urls: readonly string[]) => [
  {
    role: "user" as const,
    content: [
      ...urls.map((url) => ({ type: "image_url" as const, image_url: { url } })),
      { type: "text" as const, text },
    ],
  },
];
