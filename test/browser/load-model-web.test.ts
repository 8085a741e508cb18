/** Models loaded in Chromium from a folder's files answer as in Node. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadModel } from "../../src/generate/load-model.node.js";
import { type BrowserSession, hasChromium, startChromium } from "../support/chromium-page.js";
import { randomImage, type TinyModelName, useModelFolders } from "../support/tiny-models.js";
import type { Library } from "./page.js";

const folders = useModelFolders();
let session: BrowserSession;
let page: Page;

/** A folder's files as text that can be handed to a page. */
const filesOf = async (folder: string): Promise<[string, string][]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(folder.length + 1), (await readFile(path)).toString("base64")] as [
          string,
          string,
        ];
      }),
  );
};

const image = randomImage(70, 40, 3);
const request = {
  messages: [
    {
      role: "user" as const,
      content: [{ type: "image" as const }, { type: "text" as const, text: "What is it?" }],
    },
  ],
  maxTokens: 12,
};

const answerInNode = async (folder: string) => {
  const model = await loadModel(folder, { threads: 1, offline: true });
  try {
    return await model.answer({ ...request, media: [{ type: "image", image }] });
  } finally {
    await model.close();
  }
};

/** The answer in the page, or the error's text. */
const answerInPage = async (folder: string) =>
  page.evaluate(
    async ([files, asked, { width, height, data }]) => {
      const { library } = globalThis as unknown as { library: Library };
      const bytesOf = (base64: string) =>
        Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
      const given = new Map(files.map(([name, text]) => [name, bytesOf(text)]));
      try {
        const model = await library.loadModel(given, { provider: "wasm", threads: 1 });
        try {
          const picture = { width, height, data: Uint8Array.from(data) };
          const media = [{ type: "image" as const, image: picture }];
          const { ids, text, usage } = await model.answer({ ...asked, media });
          return { ids, text, imageTokens: usage.imageTokens };
        } finally {
          await model.close();
        }
      } catch (error) {
        return { error: String(error) };
      }
    },
    [
      await filesOf(folder),
      request,
      { width: image.width, height: image.height, data: [...image.data] },
    ] as const,
  );

describe.skipIf(!hasChromium)("loadModel in Chromium", () => {
  beforeAll(async () => {
    session = await startChromium({ webgpu: false });
    page = await session.openPage("isolated");
  }, 240_000);
  afterAll(() => session?.close());

  it.each(["llava-next-hf", "mini-1", "avg"] satisfies TinyModelName[])(
    "%s: greedy decoding gives Node's tokens",
    async (name) => {
      const folder = await folders.write(name);
      const { ids, text, usage } = await answerInNode(folder);
      expect(ids.length).toBeGreaterThan(4);
      const { imageTokens } = usage;
      expect(await answerInPage(folder)).toEqual({ ids, text, imageTokens });
    },
    240_000,
  );

  it("weights that are no numbers are named when they have spoilt an answer", async () => {
    const name = "model.layers.1.mlp.up_proj.weight";
    const folder = await folders.write("llava-pad", (tensors) => {
      tensors.get(name)?.data.fill(Number.NaN as never);
    });
    expect(await answerInPage(folder)).toEqual({ error: expect.stringContaining(name) });
  });

  it("a folder that is none is told as in Node", async () => {
    const folder = await folders.write("llava-pad", (tensors) => {
      tensors.delete("model.norm.weight");
    });
    const inNode = await answerInNode(folder).catch((error: Error) => String(error));
    const { error } = (await answerInPage(folder)) as { error: string };
    expect(error).toContain("model.norm.weight");
    expect(error.replace(/the given files/g, "")).toContain(String(inNode).split(":")[0]);
  });
});
