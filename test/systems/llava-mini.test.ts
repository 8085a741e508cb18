import { describe, expect, test } from "vitest";
import { PromptError } from "../../src/errors.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { planViews } from "../../src/image/image-mode.js";
import { loadModel } from "../../src/node.js";
import {
  type LlavaMiniVariant,
  paperLlavaMini,
  parseLlavaMiniConfig,
  releasedLlavaMini,
} from "../../src/systems/llava-mini-config.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { openEncoder } from "../support/open-encoder.js";
import { expectClose } from "../support/reference-tensors.js";
import {
  randomImage,
  type TinyModelName,
  tinyModels,
  tower,
  useModelFolders,
  videoOf,
  viewPx,
} from "../support/tiny-models.js";

const folders = useModelFolders();
const names = ["mini-1", "mini-2", "mini-hd"] as const satisfies readonly TinyModelName[];
const prompt = [3, imagePlaceholderId, 17, 5, 200, 9];

/** Embeddings of one prompt about one image, by a model with these settings. */
const encode = async (
  name: TinyModelName,
  {
    variant = releasedLlavaMini,
    ids = prompt,
    isAnswer,
  }: {
    readonly variant?: LlavaMiniVariant;
    readonly ids?: readonly number[];
    readonly isAnswer?: readonly boolean[];
  } = {},
) => {
  const folder = await folders.write({ ...tinyModels[name], variant });
  const opened = await openEncoder(folder, { variant });
  const image = randomImage(50, 44);
  const { input } = await opened.media.prepare({ type: "image", image });
  const encoded = await opened.encoder.encodePrompt(ids, [input], {
    ...(isAnswer && { isAnswer }),
  });
  await opened.close();
  return encoded.embeddings;
};
const differs = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  Array.from(a).some((value, index) => Math.abs(value - b[index]) > 1e-6);

describe("a video", () => {
  test.each(names)("of one frame is the image (%s)", async (name) => {
    const opened = await openEncoder(await folders.write(name));
    const image = randomImage(viewPx, viewPx);
    const [still, moving] = [
      await opened.media.prepare({ type: "image", image }),
      await opened.media.prepare({ type: "video", video: videoOf([image]) }),
    ];
    const [asImage, asVideo] = [
      await opened.encoder.encodePrompt(prompt, [still.input]),
      await opened.encoder.encodePrompt(prompt, [moving.input]),
    ];
    expect(asVideo.visualTokens).toEqual(asImage.visualTokens);
    expectClose(asVideo.embeddings, asImage.embeddings, 0);
    await opened.close();
  });

  test("of several frames has each frame's tokens in time order, and the mean of their texts", async () => {
    const opened = await openEncoder(await folders.write("mini-2"));
    const frames = [1, 2, 3].map((seed) => randomImage(viewPx, viewPx, seed));
    const width = opened.system.language.width;
    const video3 = { type: "video", video: videoOf(frames), sampling: { rule: "all" } } as const;
    const { input } = await opened.media.prepare(video3);
    const video = (await opened.encoder.encodePrompt(prompt, [input])).embeddings.data;
    const images: Float32Array[] = [];
    for (const image of frames) {
      const still = await opened.media.prepare({ type: "image", image });
      images.push((await opened.encoder.encodePrompt(prompt, [still.input])).embeddings.data);
    }
    // One text token, then four visual tokens a frame, then four text tokens.
    const [before, tokens] = [width, 4 * width];
    images.forEach((image, frame) => {
      const own = video.subarray(before + frame * tokens, before + (frame + 1) * tokens);
      expectClose(
        { shape: [4, width], data: [...own] },
        { shape: [4, width], data: [...image.subarray(before, before + tokens)] },
        1e-6,
      );
    });
    const text = (data: Float32Array, visual: number) => [
      ...data.subarray(0, before),
      ...data.subarray(before + visual),
    ];
    const texts = images.map((image) => text(image, tokens));
    const means = texts[0].map(
      (_, index) => (texts[0][index] + texts[1][index] + texts[2][index]) / 3,
    );
    const all = text(video, 3 * tokens);
    expectClose({ shape: [all.length], data: all }, { shape: [means.length], data: means }, 1e-6);
    await opened.close();
  });
});

describe("text", () => {
  test.each(names)("alone skips pre-fusion: the token embeddings (%s)", async (name) => {
    const opened = await openEncoder(await folders.write(name));
    const { embeddings, visualTokens } = await opened.encoder.encodePrompt([8, 2, 8], []);
    const width = opened.system.language.width;
    expect(visualTokens).toEqual([]);
    expect(embeddings.data.subarray(0, width)).toEqual(embeddings.data.subarray(2 * width));
    await opened.close();
  });

  test("with an image is fused with it, and only what comes before a token changes it", async () => {
    const [one, other] = [
      await encode("mini-1"),
      await encode("mini-1", { ids: [...prompt.slice(0, -1), 10] }),
    ];
    const width = one.shape[2];
    const last = (one.shape[1] - 1) * width;
    // Causal: another last token changes its own place alone.
    expectClose(
      { shape: [last], data: [...one.data.subarray(0, last)] },
      { shape: [last], data: [...other.data.subarray(0, last)] },
      1e-6,
    );
    expect(differs(one.data.subarray(last), other.data.subarray(last))).toBe(true);
  });
});

describe("the paper's and the released form", () => {
  // What concerns no single image with a question has its own test below.
  const elsewhere = ["textOnlyPrompts", "highResolutionPadding", "frames"];
  const options = (Object.keys(releasedLlavaMini) as (keyof LlavaMiniVariant)[]).filter(
    (option) => !elsewhere.includes(option),
  );

  test.each(options)("differ in %s by itself, for the prompts that it concerns", async (option) => {
    const variant = { ...releasedLlavaMini, [option]: paperLlavaMini[option] };
    // A token 0 and an earlier answer, which two of the options are about.
    const ids = [3, imagePlaceholderId, 0, 5, 200, 9];
    const isAnswer = ids.map((_, place) => place === 4);
    const [released, paper] = [
      await encode("mini-2", { ids, isAnswer }),
      await encode("mini-2", { ids, isAnswer, variant }),
    ];
    expect(paper.shape).toEqual(released.shape);
    expect(paper.data.every(Number.isFinite)).toBe(true);
    expect(differs(released.data, paper.data)).toBe(true);
  });

  test.each(names)("as a whole both answer (%s)", async (name) => {
    for (const variant of [releasedLlavaMini, paperLlavaMini]) {
      const folder = await folders.write({ ...tinyModels[name], variant });
      const model = await loadModel(folder, { threads: 1, variant });
      const answer = await model.answer({
        messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: "What?" }] }],
        media: [{ type: "image", image: randomImage(64, 48) }],
        maxTokens: 4,
      });
      expect(answer.ids.length).toBeGreaterThan(0);
      expect(answer.usage.imageTokens).toBe(name === "mini-1" ? 1 : 4);
      await model.close();
    }
  });

  test("leaving out ids up to zero concerns prompts with a token 0 and no others", async () => {
    const variant = { ...releasedLlavaMini, leftOutOfFusion: "placeholders" } as const;
    const withZero = [3, imagePlaceholderId, 17, 0, 200, 9];
    const places = async (ids: readonly number[]): Promise<number[]> => {
      const [all, kept] = [
        await encode("mini-1", { ids }),
        await encode("mini-1", { ids, variant }),
      ];
      const width = all.shape[2];
      return ids
        .map((_, place) => place)
        .filter((place) =>
          differs(
            all.data.subarray(place * width, (place + 1) * width),
            kept.data.subarray(place * width, (place + 1) * width),
          ),
        );
    };
    expect(await places(prompt)).toEqual([]);
    // The token 0 itself, and what comes after it and could see it.
    expect(await places(withZero)).toEqual([3, 4, 5]);
  });

  test("earlier answers stay raw in the paper's form and are fused in the released one", async () => {
    const isAnswer = prompt.map((_, place) => place === 3 || place === 4);
    const raw = { ...releasedLlavaMini, earlierAnswers: "raw" } as const;
    const [fused, kept, none] = [
      await encode("mini-1", { isAnswer }),
      await encode("mini-1", { isAnswer, variant: raw }),
      await encode("mini-1", { variant: raw }),
    ];
    const opened = await openEncoder(await folders.write("mini-1"));
    const { embeddings } = await opened.encoder.encodePrompt([5, 200], []);
    await opened.close();
    const width = fused.shape[2];
    const answer = [3 * width, 5 * width] as const;
    expect(kept.data.subarray(...answer)).toEqual(embeddings.data);
    expect(differs(fused.data.subarray(...answer), embeddings.data)).toBe(true);
    // Without earlier answers both are the same.
    expectClose(none, await encode("mini-1"), 0);
  });
});

describe("released inference and released training", () => {
  test("differ on text alone: raw, or fused with a blank image that leaves no token", async () => {
    const variant = { ...releasedLlavaMini, textOnlyPrompts: "blank-image" } as const;
    const opened = [
      await openEncoder(await folders.write("mini-1")),
      await openEncoder(await folders.write("mini-1"), { variant }),
    ];
    const [raw, fused] = [
      await opened[0].encoder.encodePrompt([8, 2, 8], []),
      await opened[1].encoder.encodePrompt([8, 2, 8], []),
    ];
    expect(fused.visualTokens).toEqual([]);
    expect(fused.embeddings.shape).toEqual(raw.embeddings.shape);
    expect(differs(raw.embeddings.data, fused.embeddings.data)).toBe(true);
    // Fused tokens know their place: the two 8s are no longer the same.
    const width = opened[1].system.language.width;
    const [first, last] = [
      fused.embeddings.data.subarray(0, width),
      fused.embeddings.data.subarray(2 * width),
    ];
    expect(differs(first, last)).toBe(true);
    for (const { close } of opened) await close();
  });

  test("differ in whether a padded image is split before or after padding", async () => {
    const config = { ...tinyModels["mini-hd"].config, image_aspect_ratio: "pad" };
    const image = { width: 90, height: 60 };
    const plans = (["split-then-pad", "pad-then-split"] as const).map((highResolutionPadding) => {
      const variant = { ...releasedLlavaMini, highResolutionPadding };
      const { imageMode } = parseLlavaMiniConfig(config, tower, variant);
      return planViews(image, clipConfig(viewPx), imageMode);
    });
    expect(plans.map(({ views }) => views.length)).toEqual([5, 5]);
    const [split, padded] = plans.map(({ views }) => views[0]);
    // A block of 45 x 30 padded by itself; or the first quarter of the whole, padded above.
    expect(split.pad?.top).toBe(7);
    expect(padded).not.toEqual(split);
  });
});

describe("a frame", () => {
  test("is stretched to a view in the released form, and cropped like an image in the other", async () => {
    const wide = randomImage(3 * viewPx, viewPx);
    const pixels = [];
    for (const frames of ["stretched", "images"] as const) {
      const variant = { ...releasedLlavaMini, frames };
      const opened = await openEncoder(await folders.write("mini-1"), { variant });
      const moving = await opened.media.prepare({ type: "video", video: videoOf([wide]) });
      const still = await opened.media.prepare({ type: "image", image: wide });
      if (moving.input.kind !== "video" || still.input.kind !== "image") throw new Error("kinds");
      for await (const frame of moving.input.frames()) pixels.push(frame.pixels.data);
      pixels.push(still.input.views.pixels.data);
      await opened.close();
    }
    const [stretched, image, cropped, sameImage] = pixels;
    expect(differs(stretched, image)).toBe(true);
    expect(differs(cropped, sameImage)).toBe(false);
  });
});

describe("one image or video", () => {
  test("is what the method takes; a second one is refused with the way out", async () => {
    const opened = await openEncoder(await folders.write("mini-1"));
    const { input } = await opened.media.prepare({ type: "image", image: randomImage(9, 9) });
    const asked = opened.encoder.encodePrompt(
      [imagePlaceholderId, imagePlaceholderId],
      [input, input],
    );
    await expect(asked).rejects.toThrow(PromptError);
    await expect(asked).rejects.toThrow(/got 2; give several images as the frames of a video/);
    await opened.close();
  });
});
