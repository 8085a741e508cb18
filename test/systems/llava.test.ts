import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PromptError } from "../../src/errors.js";
import { type Answer, loadModel, type VisionLanguageModel } from "../../src/node.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { type OpenedEncoder, openEncoder } from "../support/open-encoder.js";
import { expectClose } from "../support/reference-tensors.js";
import {
  randomImage,
  tinyModels,
  tinyWeights,
  useModelFolders,
  videoOf,
} from "../support/tiny-models.js";

const folders = useModelFolders();
const question = (text: string) =>
  [{ role: "user", content: [{ type: "image" }, { type: "text", text }] }] as const;

describe("the original and the transformers layout of the same weights", () => {
  const pairs = [
    ["llava-square", "llava-hf"],
    ["llava-next", "llava-next-hf"],
  ] as const;

  test.each(pairs)("%s and %s give the same answers", async (original, transformers) => {
    const answers: (Pick<Answer, "ids" | "usage" | "media"> & { readonly name: string })[] = [];
    for (const name of [original, transformers]) {
      const model = await loadModel(await folders.write(name), {
        threads: 1,
        template: "vicuna_v1",
      });
      for (const [width, height] of [
        [61, 28],
        [28, 100],
        [5, 5],
      ]) {
        const { ids, usage, media } = await model.answer({
          messages: question("What is in the image?"),
          media: [{ type: "image", image: randomImage(width, height) }],
          maxTokens: 12,
          temperature: 0.05,
          seed: 3,
        });
        answers.push({ name, ids, usage, media });
      }
      await model.close();
    }
    const [first, second] = [original, transformers].map((name) =>
      answers.filter((answer) => answer.name === name).map(({ name: _, ...rest }) => rest),
    );
    expect(first).toEqual(second);
    expect(new Set(first.map(({ ids }) => String(ids))).size).toBeGreaterThan(1);
  });

  test("store the same numbers under other names", () => {
    const [first, second] = [tinyModels["llava-next"], tinyModels["llava-next-hf"]].map((model) =>
      tinyWeights(model),
    );
    expect(first.size).toBe(second.size);
    expect([...first.keys()]).not.toEqual([...second.keys()]);
    expect([...first.values()].map(({ data }) => data[0]).sort()).toEqual(
      [...second.values()].map(({ data }) => data[0]).sort(),
    );
    expect(first.has("model.image_newline")).toBe(true);
    expect(second.has("image_newline")).toBe(true);
  });
});

describe("LLaVA-NeXT's newline", () => {
  test("ends each row of tiles, and nothing else changes with it", async () => {
    const image = randomImage(90, 60);
    const encode = async (change?: (data: Float32Array) => void) => {
      const folder = await folders.write("llava-next", (tensors) => {
        change?.(tensors.get("model.image_newline")?.data as Float32Array);
      });
      const opened = await openEncoder(folder);
      const prepared = await opened.media.prepare({ type: "image", image });
      const encoded = await opened.encoder.encodePrompt(
        [1, imagePlaceholderId, 2],
        [prepared.input],
      );
      const width = opened.system.language.width;
      await opened.close();
      return { ...encoded, width };
    };
    const plain = await encode();
    const changed = await encode((data) => data.fill(7));
    const numRows = plain.embeddings.shape[1];
    const different = Array.from({ length: numRows }, (_, row) => row).filter((row) => {
      const [from, to] = [row * plain.width, (row + 1) * plain.width];
      return (
        String(plain.embeddings.data.subarray(from, to)) !==
        String(changed.embeddings.data.subarray(from, to))
      );
    });
    // 90x60 fits a grid of 2 x 2 tiles of 4 x 4 tokens: 5 of 8 rows are image, plus the odd border.
    const perRow = different[1] - different[0];
    expect(perRow).toBe(8 + 1);
    expect(different.length).toBe((plain.visualTokens[0] - 16) / perRow);
    for (const row of different) {
      const own = changed.embeddings.data.subarray(row * plain.width, (row + 1) * plain.width);
      expect(own.every((value) => value === 7)).toBe(true);
    }
  });
});

describe("a prompt of a LLaVA encoder", () => {
  let opened: OpenedEncoder;
  beforeAll(async () => {
    opened = await openEncoder(await folders.write("llava-pad"));
  });
  afterAll(() => opened.close());
  const prepare = async (seed: number) =>
    (await opened.media.prepare({ type: "image", image: randomImage(40, 30, seed) })).input;

  test("of text alone is its token embeddings", async () => {
    const { embeddings, visualTokens } = await opened.encoder.encodePrompt([3, 1, 3], []);
    const width = opened.system.language.width;
    expect(visualTokens).toEqual([]);
    expect(embeddings.shape).toEqual([1, 3, width]);
    expect(embeddings.data.subarray(0, width)).toEqual(embeddings.data.subarray(2 * width));
    expect(embeddings.data.subarray(0, width)).not.toEqual(
      embeddings.data.subarray(width, 2 * width),
    );
  });

  test("has every image in its place, whatever stands around it", async () => {
    const [a, b] = [await prepare(1), await prepare(2)];
    const alone = async (media: typeof a) =>
      (await opened.encoder.encodePrompt([imagePlaceholderId], [media])).embeddings;
    const joined = await opened.encoder.encodePrompt(
      [imagePlaceholderId, 7, imagePlaceholderId, imagePlaceholderId],
      [a, b, a],
    );
    const text = (await opened.encoder.encodePrompt([7], [])).embeddings;
    const expected = [await alone(a), text, await alone(b), await alone(a)].flatMap(({ data }) => [
      ...data,
    ]);
    expectClose(joined.embeddings, { shape: joined.embeddings.shape, data: expected }, 1e-6);
  });

  test("with frames of a video is the frames' images in a row", async () => {
    const frames = [1, 2, 1].map((seed) => randomImage(40, 30, seed));
    const video = await opened.media.prepare({
      type: "video",
      video: videoOf(frames),
      sampling: { rule: "all" },
    });
    const images = [await prepare(1), await prepare(2), await prepare(1)];
    const asVideo = await opened.encoder.encodePrompt([imagePlaceholderId], [video.input]);
    const asImages = await opened.encoder.encodePrompt(
      images.map(() => imagePlaceholderId),
      images,
    );
    expectClose(asVideo.embeddings, asImages.embeddings, 0);
    expect(asVideo.visualTokens).toEqual([3 * 16]);
  });

  test("refuses placeholders and media that are not equally many", async () => {
    const image = await prepare(1);
    await expect(opened.encoder.encodePrompt([1, 2], [image])).rejects.toThrow(PromptError);
    await expect(
      opened.encoder.encodePrompt([imagePlaceholderId, imagePlaceholderId], [image]),
    ).rejects.toThrow(/2 image placeholders for 1 images/);
  });
});

describe("LLaVA-1.5 takes any number of images and videos", () => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    model = await loadModel(await folders.write("llava-pad"), { threads: 1 });
  });
  afterAll(() => model.close());

  test("and counts each kind by itself", async () => {
    const image = randomImage(20, 20);
    const request = {
      messages: [
        {
          role: "user",
          content: [
            { type: "image" },
            { type: "video" },
            { type: "image" },
            { type: "text", text: "Compare." },
          ],
        },
      ],
      media: [
        { type: "image", image },
        { type: "video", video: videoOf([image, image]) },
        { type: "image", image },
      ],
      maxTokens: 2,
    } as const;
    const count = model.count(request);
    expect([count.imageTokens, count.videoTokens]).toEqual([32, 32]);
    expect(count.promptTokens).toBe(count.textTokens + 64);
    const { usage, media } = await model.answer(request);
    expect(usage).toMatchObject({
      imageTokens: 32,
      videoTokens: 32,
      promptTokens: count.promptTokens,
    });
    expect(media.map(({ type, tokens }) => [type, tokens])).toEqual([
      ["image", 16],
      ["video", 32],
      ["image", 16],
    ]);
  });
});
