import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  ContextOverflowError,
  ImageDecodeError,
  LimitError,
  OptionsError,
  PromptError,
  VideoDecodeError,
} from "../../src/errors.js";
import {
  decodeImage,
  type GenerateRequest,
  loadModel,
  type Media,
  openVideo,
  type RgbImage,
  type VisionLanguageModel,
} from "../../src/node.js";
import type { FrameSamplingOptions } from "../../src/video/frame-sampling.js";
import type { VideoSource } from "../../src/video/video-source.js";
import { ask } from "../support/questions.js";
import { fixturePath } from "../support/recorded-preprocessing.js";
import {
  randomImage,
  type TinyModelName,
  useModelFolders,
  videoOf,
} from "../support/tiny-models.js";

const folders = useModelFolders();
const names = [
  "llava-pad",
  "llava-next",
  "mini-1",
  "mini-hd",
] as const satisfies readonly TinyModelName[];
const models = new Map<TinyModelName, VisionLanguageModel>();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "saccade-media-"));
  for (const name of names) {
    models.set(name, await loadModel(await folders.write(name), { threads: 1 }));
  }
});
afterAll(async () => {
  for (const model of models.values()) await model.close();
  await rm(folder, { recursive: true });
});
const modelOf = (name: TinyModelName): VisionLanguageModel => {
  const model = models.get(name);
  if (model === undefined) throw new Error(`modelOf: ${name} must be loaded first`);
  return model;
};
const about = (...media: Media[]): GenerateRequest => ({
  messages: [
    {
      role: "user",
      content: [...media.map(({ type }) => ({ type })), { type: "text", text: "What?" }],
    },
  ],
  media,
  maxTokens: 2,
});
const imageOf = (image: RgbImage): Media => ({ type: "image", image });
/** Still answers a plain question: nothing of what was refused stays behind. */
const expectUsable = async (model: VisionLanguageModel): Promise<void> => {
  expect((await model.answer(ask("What?", { imageSeed: 1 }))).ids.length).toBeGreaterThan(0);
};

describe("an image file", () => {
  test.each<[string, Uint8Array, RegExp]>([
    ["of text", new TextEncoder().encode("this is no image at all"), /note\.png/],
    ["of nothing", new Uint8Array(0), /note\.png/],
    [
      "with a PNG's first bytes only",
      Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10),
      /note\.png/,
    ],
  ])("%s is refused as unreadable", async (_, bytes, message) => {
    const path = join(folder, "note.png");
    await writeFile(path, bytes);
    await expect(decodeImage(path)).rejects.toThrow(ImageDecodeError);
    await expect(decodeImage(path)).rejects.toThrow(message);
  });

  test("that is not there is refused by name", async () => {
    await expect(decodeImage(join(folder, "gone.jpg"))).rejects.toThrow(ImageDecodeError);
    await expect(decodeImage(join(folder, "gone.jpg"))).rejects.toThrow(/gone\.jpg/);
  });

  test("that would unpack to gigabytes is refused from its header", async () => {
    // A PNG header of 100,000 x 100,000 pixels; 10 bytes of data would unpack to 30 GB.
    const header = Buffer.alloc(33);
    Buffer.from("89504e470d0a1a0a0000000d49484452", "hex").copy(header);
    header.writeUInt32BE(100_000, 16);
    header.writeUInt32BE(100_000, 20);
    Buffer.from("0802000000", "hex").copy(header, 24);
    const path = join(folder, "bomb.png");
    await writeFile(path, header);
    const started = performance.now();
    await expect(decodeImage(path)).rejects.toThrow(LimitError);
    await expect(decodeImage(path)).rejects.toThrow(/100000x100000 = 10000000000.*maxPixels/s);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test.each([
    "grey.png",
    "grey16.png",
    "grey-alpha.png",
    "grey-alpha16.png",
    "rgba.png",
    "rgba16.png",
    "rgb16.png",
    "cmyk.jpg",
    "cmyk.tiff",
    "bilevel.png",
    "palette.gif",
  ])("of other channels than RGB works: %s", async (name) => {
    const image = await decodeImage(fixturePath(`image-decode/${name}`));
    expect(image.data.length).toBe(image.width * image.height * 3);
    const answer = await modelOf("llava-next").answer(about(imageOf(image)));
    expect(answer.media[0].size).toEqual({ width: image.width, height: image.height });
  });
});

describe("an image", () => {
  test.each(names)(
    "of one pixel, and of the most awkward shapes, works or says why not (%s)",
    async (name) => {
      const model = modelOf(name);
      for (const [width, height] of [
        [1, 1],
        [1, 40],
        [300, 1],
        [2, 2],
      ]) {
        const request = about(imageOf(randomImage(width, height)));
        if (name === "mini-hd" && Math.min(width, height) < 2) {
          await expect(model.answer(request)).rejects.toThrow(OptionsError);
          await expect(model.answer(request)).rejects.toThrow(/Use a smaller ratio or enlarge/);
          continue;
        }
        const { usage } = await model.answer(request);
        expect(usage.promptTokens).toBe(model.count(request).promptTokens);
      }
    },
  );

  test.each(names)(
    "without pixels, or with more or fewer than its size says, is refused (%s)",
    async (name) => {
      const model = modelOf(name);
      for (const image of [
        { width: 0, height: 0, data: new Uint8Array(0) },
        { width: 5, height: 0, data: new Uint8Array(0) },
        { width: -3, height: 3, data: new Uint8Array(27) },
        { width: 2.5, height: 2, data: new Uint8Array(15) },
        { width: Number.NaN, height: 2, data: new Uint8Array(15) },
      ]) {
        await expect(model.answer(about(imageOf(image)))).rejects.toThrow(OptionsError);
        await expect(model.answer(about(imageOf(image)))).rejects.toThrow(/at least one pixel/);
      }
      // RGBA where RGB is meant, and half an image.
      for (const numBytes of [16 * 16 * 4, 100]) {
        const image = { width: 16, height: 16, data: new Uint8Array(numBytes) };
        await expect(model.answer(about(imageOf(image)))).rejects.toThrow(OptionsError);
        await expect(model.answer(about(imageOf(image)))).rejects.toThrow(
          new RegExp(`768 bytes, got ${numBytes}.*without alpha`),
        );
      }
      await expectUsable(model);
    },
  );

  test("whose square would take gigabytes is refused before it is made", async () => {
    const model = modelOf("llava-pad");
    const started = performance.now();
    const request = about(imageOf({ width: 60_000, height: 1, data: new Uint8Array(180_000) }));
    await expect(model.answer(request)).rejects.toThrow(LimitError);
    await expect(model.answer(request)).rejects.toThrow(/60000x60000.*Shrink or cut the image/s);
    expect(performance.now() - started).toBeLessThan(2000);
    await expectUsable(model);
  });
});

describe("a video", () => {
  const frames = [1, 2, 3].map((seed) => randomImage(20, 20, seed));
  const video = (source: VideoSource, sampling?: FrameSamplingOptions): GenerateRequest =>
    about({ type: "video", video: source, ...(sampling && { sampling }) });

  test.each(names)("without frames is refused (%s)", async (name) => {
    const model = modelOf(name);
    await expect(model.answer(video(videoOf([])))).rejects.toThrow(VideoDecodeError);
    await expect(model.answer(video(videoOf([])))).rejects.toThrow(
      /at least one frame, got 0. Check/,
    );
    await expectUsable(model);
  });

  test.each(names)(
    "shorter than a second gives its middle frame, or fails where asked to (%s)",
    async (name) => {
      const model = modelOf(name);
      const short = videoOf(frames, { frameRate: 30 });
      const { media } = await model.answer(video(short));
      expect(media[0].frames).toMatchObject({ sampled: 1, total: 3 });
      const compat = video(short, { shortClip: "compat" });
      await expect(model.answer(compat)).rejects.toThrow(VideoDecodeError);
      await expect(model.answer(compat)).rejects.toThrow(/at least 1 second.*Use one-frame/);
    },
  );

  test("without a frame rate is refused with the way out, and works by it", async () => {
    const model = modelOf("mini-1");
    const unknown = { ...videoOf(frames), frameRate: Number.NaN };
    await expect(model.answer(video(unknown))).rejects.toThrow(/Use the rule `uniform`/);
    const { media } = await model.answer(video(unknown, { rule: "uniform", numFrames: 2 }));
    expect(media[0].frames?.sampled).toBe(2);
  });

  test("that breaks off in the middle fails with its own error, and the model goes on", async () => {
    for (const name of names) {
      const broken: VideoSource = {
        ...videoOf(frames),
        async *readFrames() {
          yield frames[0];
          throw new VideoDecodeError("readFrames: the file breaks off; fetch it again");
        },
      };
      await expect(modelOf(name).answer(video(broken))).rejects.toThrow(VideoDecodeError);
      await expectUsable(modelOf(name));
    }
  });

  test("with fewer frames than it promises never passes for a shorter one", async () => {
    for (const name of names) {
      const lying: VideoSource = {
        ...videoOf(frames),
        async *readFrames() {
          yield frames[0];
        },
      };
      await expect(modelOf(name).answer(video(lying))).rejects.toThrow(LimitError);
      await expect(modelOf(name).answer(video(lying))).rejects.toThrow(
        /were planned and .* produced/,
      );
    }
  });

  test("over the cap is spread and says so, or refused", async () => {
    const model = modelOf("mini-1");
    const capped = await model.answer(video(videoOf(frames), { maxFrames: 2 }));
    expect(capped.media[0].frames).toEqual({ sampled: 2, wanted: 3, total: 3, isCapped: true });
    const refused = video(videoOf(frames), { maxFrames: 2, overCap: "refuse" });
    await expect(model.answer(refused)).rejects.toThrow(LimitError);
    await expect(model.answer(refused)).rejects.toThrow(
      /at most 2 frames, got 3 .* Raise maxFrames/,
    );
  });

  test("file that is none is refused as unreadable", async () => {
    const path = join(folder, "clip.mp4");
    await writeFile(path, "no video");
    await expect(openVideo(path)).rejects.toThrow(VideoDecodeError);
    await expect(openVideo(path)).rejects.toThrow(/clip\.mp4/);
  });
});

describe("more than fits", () => {
  test("more images than LLaVA-Mini takes are refused with the way out", async () => {
    const image = imageOf(randomImage(9, 9));
    for (const name of ["mini-1", "mini-hd"] as const) {
      const request = about(image, image);
      await expect(modelOf(name).answer(request)).rejects.toThrow(PromptError);
      await expect(modelOf(name).answer(request)).rejects.toThrow(
        /takes 1 image or video in a conversation, got 2; give several images as the frames of a video/,
      );
      await expectUsable(modelOf(name));
    }
    expect((await modelOf("llava-pad").answer(about(image, image))).usage.imageTokens).toBe(32);
  });

  test("a prompt longer than the context is refused, so that no question is cut off at its end", async () => {
    const model = modelOf("llava-pad");
    // Each number is a token or more: the question at the end would be what is lost.
    const text = `${Array.from({ length: 900 }, (_, n) => n).join(" ")}. What was the first number?`;
    for (const request of [ask(text), ask(text, { imageSeed: 1 })]) {
      expect(() => model.count(request)).toThrow(ContextOverflowError);
      await expect(model.answer(request)).rejects.toThrow(ContextOverflowError);
      await expect(model.answer(request)).rejects.toThrow(
        /the context holds 1024; shorten the text, take fewer frames or images, or raise/,
      );
    }
    await expectUsable(model);
  });

  test("so is a video whose frames alone fill the context", async () => {
    const model = modelOf("llava-pad");
    const long = videoOf(Array.from({ length: 70 }, () => randomImage(8, 8)));
    const request = about({ type: "video", video: long });
    await expect(model.answer(request)).rejects.toThrow(ContextOverflowError);
    // LLaVA-Mini reads the same clip at a token a frame.
    const { usage } = await modelOf("mini-1").answer(request);
    expect(usage.videoTokens).toBe(70);
  });
});
