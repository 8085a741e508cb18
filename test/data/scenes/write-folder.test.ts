import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { attribution } from "../../../src/data/scenes/attribution.js";
import { createContactSheet } from "../../../src/data/scenes/contact-sheet.node.js";
import type { SceneRecord } from "../../../src/data/scenes/llava-records.js";
import { sceneKinds } from "../../../src/data/scenes/random.js";
import { createSceneRenderer } from "../../../src/data/scenes/render.node.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import { writeScenes } from "../../../src/data/scenes/write-folder.node.js";
import { OptionsError } from "../../../src/errors.js";
import { decodeImage } from "../../../src/image/decode.node.js";
import { validAnswers } from "./valid-answers.js";

let parent = "";
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "saccade-scenes-"));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const readRecords = async (folder: string): Promise<SceneRecord[]> =>
  JSON.parse(await readFile(join(folder, "scenes.json"), "utf8"));

describe("a folder of scenes", () => {
  it("reads back as LLaVA JSON: every image is there, every answer is right", async () => {
    const folder = join(parent, "set");
    const options = {
      folder,
      count: 9,
      seed: 7,
      split: "test",
      kinds: sceneKinds,
      heightPx: 64,
    } as const;
    const result = await writeScenes(options);
    const records = await readRecords(folder);
    const renderer = await createSceneRenderer();
    expect(records).toHaveLength(result.numRecords);
    expect(new Set(records.map(({ id }) => id)).size).toBe(records.length);
    for (const { id, image, video, conversations, questions } of records) {
      const [, kind, , , index] = id.match(/^(\w+)-(\w+)-(\d+)-(\d+)-/) ?? [];
      const key = { seed: 7, split: "test", kind: kind as "clip", index: Number(index) } as const;
      const scene = sampleScene(key);
      const [{ from, value }, { from: replier, value: answer }] = conversations;
      expect([from, replier]).toEqual(["human", "gpt"]);
      const [placeholder, question] = value.split("\n");
      expect(placeholder).toBe(kind === "clip" ? "<video>" : "<image>");
      expect(validAnswers(scene, question)).toEqual([answer]);
      expect(questions).toMatchObject([{ answer, family: expect.any(String) }]);
      const paths = image
        ? [image]
        : (await readdir(join(folder, video ?? ""))).sort().map((name) => `${video}/${name}`);
      expect(paths).toHaveLength(kind === "clip" ? 8 : 1);
      for (const [frame, path] of paths.entries()) {
        const stored = await decodeImage(join(folder, path));
        expect(Buffer.compare(stored.data, (await renderer.render(scene, 64, frame)).data)).toBe(0);
      }
    }
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ seed: 7, split: "test", count: 9, heightPx: 64 });
    expect(manifest.numByFamily).toEqual(result.numByFamily);
    expect(await readFile(join(folder, "ATTRIBUTION.md"), "utf8")).toBe(attribution);
    expect(await readdir(parent)).toEqual(["set"]);
  });

  it("is the same to the byte when it is written again", async () => {
    const read = async (name: string) => {
      const folder = join(parent, name);
      await writeScenes({ folder, count: 6, kinds: ["simple", "detail"], heightPx: 48 });
      const images = await readdir(join(folder, "images"));
      const files = [...images.map((image) => `images/${image}`), "scenes.json", "manifest.json"];
      return Promise.all(files.map((file) => readFile(join(folder, file), "base64")));
    };
    expect(await read("one")).toEqual(await read("other"));
  });

  it("holds turns, descriptions and texts on demand", async () => {
    const folder = join(parent, "set");
    const contents = ["questions", "descriptions", "texts"] as const;
    await writeScenes({ folder, count: 5, contents, turns: "all", perFamily: 2, heightPx: 32 });
    const records = await readRecords(folder);
    expect(records).toHaveLength(15);
    for (const { content, image, conversations, questions } of records) {
      expect(image !== undefined).toBe(content !== "texts");
      expect(conversations[0].value.startsWith("<image>\n")).toBe(content !== "texts");
      expect(conversations).toHaveLength(content === "descriptions" ? 2 : 2 * questions.length);
    }
  });

  it("may be written in parts: indices go on, and nothing is in two of them", async () => {
    const write = async (name: string, first: number, count: number) => {
      await writeScenes({ folder: join(parent, name), count, first, heightPx: 32 });
      return readRecords(join(parent, name));
    };
    const whole = await write("whole", 0, 6);
    expect([...(await write("a", 0, 2)), ...(await write("b", 2, 4))]).toEqual(whole);
  });

  it("does not appear, nor leave anything, when its writing is stopped", async () => {
    const folder = join(parent, "set");
    const controller = new AbortController();
    const writing = writeScenes({
      folder,
      count: 1000,
      heightPx: 32,
      signal: controller.signal,
      onProgress: (done) => done >= 8 && controller.abort(),
    });
    await expect(writing).rejects.toThrow("abort");
    expect(await readdir(parent)).toEqual([]);
  });

  it("never goes over what is there, and refuses what cannot be", async () => {
    const folder = join(parent, "set");
    await mkdir(folder);
    await writeFile(join(folder, "mine.txt"), "precious");
    const file = join(folder, "mine.txt");
    const wrong: object[] = [
      { folder },
      { folder: file },
      { count: 0 },
      { count: 1.5 },
      { kinds: [] },
      { kinds: ["none"] },
      { contents: ["poems"] },
      { turns: "some" },
      { heightPx: 8 },
      { families: ["smell"] },
      { first: 2 ** 32 - 1, count: 2 },
    ];
    for (const options of wrong)
      await expect(
        writeScenes({ folder: join(parent, "new"), count: 1, heightPx: 32, ...options } as never),
      ).rejects.toThrow(OptionsError);
    expect(await readFile(file, "utf8")).toBe("precious");
    expect(await readdir(parent)).toEqual(["set"]);
  });
});

describe("contact sheets", () => {
  it("show every image and make room for every caption", async () => {
    const renderer = await createSceneRenderer();
    const image = await renderer.render(
      sampleScene({ seed: 1, split: "train", index: 0, kind: "simple" }),
      48,
    );
    const sheetOf = async (captions: string[], count: number) =>
      decodeImage(
        await createContactSheet(
          Array.from({ length: count }, () => ({ image, captions })),
          { numColumns: 3, heightPx: 96 },
        ),
      );
    const plain = await sheetOf([], 4);
    expect([plain.width, plain.height]).toEqual([10 + 3 * 106, 10 + 2 * 116]);
    const captioned = await sheetOf(["Where is the cat? → top left", "Is there a dog? → no"], 4);
    expect(captioned.height).toBeGreaterThanOrEqual(plain.height + 4 * 15);
  });
});

describe("the attribution", () => {
  it("is the same in the repository as in written folders", async () => {
    const path = new URL("../../../src/data/scenes/ATTRIBUTION.md", import.meta.url);
    expect(await readFile(path, "utf8")).toBe(attribution);
  });
});
