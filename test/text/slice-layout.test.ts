import { describe, expect, it } from "vitest";
import { PromptError, TokenizerError } from "../../src/errors.js";
import { countSliceTokens, merge16, planSlices } from "../../src/image/slice-plan.js";
import { renderChat } from "../../src/text/chat-template.js";
import { imagePlaceholderId, tokenizeWithImages } from "../../src/text/image-placeholder.js";
import { llavaTemplates } from "../../src/text/llava-templates.js";
import { chooseTemplate } from "../../src/text/model-template.js";
import {
  countMediumTokens,
  expandMedia,
  type MediumLayout,
  unknownMarkers,
  writeMedium,
} from "../../src/text/slice-layout.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { readJson } from "../support/recorded-preprocessing.js";

const imageOf = (width: number, height: number) => {
  const plan = planSlices({ width, height });
  return { viewTokens: countSliceTokens(plan, merge16), grid: plan.grid };
};
const image = (width: number, height: number): MediumLayout => ({
  type: "image",
  image: imageOf(width, height),
});

type JsonObject = Record<string, unknown>;
const markerTokens = [
  "<image_id>",
  "</image_id>",
  "<image>",
  "</image>",
  "<slice>",
  "</slice>",
  "<|im_start|>",
  "<|im_end|>",
  "<think>",
  "</think>",
  "<|image_pad|>",
  "<|video_pad|>",
  "<unk>",
];

/** The small tokenizer with the markers as special tokens of their own. */
const tokenizer = (() => {
  const json = structuredClone(readJson("tokenizer/tokenizer.json")) as JsonObject;
  const added = json.added_tokens as { id: number }[];
  const first = 400;
  json.added_tokens = [
    ...added,
    ...markerTokens.map((content, at) => ({
      ...added[0],
      id: first + at,
      content,
      special: true,
    })),
  ];
  return createTokenizer({ tokenizerJson: json });
})();
const idOf = (token: string) => tokenizer.idOf(token) ?? Number.NaN;

describe("a medium in a prompt", () => {
  const options = { markers: unknownMarkers };

  it("is a numbered thumbnail, then rows of slices with a newline between them", () => {
    // 640x480 is a thumbnail of 63 tokens and two slices of 70 side by side.
    const u = (count: number) => "<unk>".repeat(count);
    expect(writeMedium(image(640, 480), 0, options)).toBe(
      `<image_id>0</image_id><image>${u(63)}</image><slice>${u(70)}</slice><slice>${u(70)}</slice>`,
    );
    // 512x512: two slices, one above the other.
    expect(writeMedium(image(512, 512), 12, options)).toBe(
      `<image_id>12</image_id><image>${u(64)}</image><slice>${u(66)}</slice>\n<slice>${u(66)}</slice>`,
    );
    expect(writeMedium(image(100, 100), 1, { ...options, usesImageIds: false })).toBe(
      `<image>${u(64)}</image>`,
    );
  });

  it("of 1344x1344 takes 640 visual tokens and 25 others", () => {
    expect(countMediumTokens(image(1344, 1344), 0, tokenizer)).toEqual({
      visual: 640,
      markers: 25,
    });
  });

  it("that is a video has one number, and frames without anything between them", () => {
    const video: MediumLayout = { type: "video", frames: [imageOf(60, 60), imageOf(60, 60)] };
    const frame = `<image>${"<|video_pad|>".repeat(64)}</image>`;
    expect(writeMedium(video, 0)).toBe(`<image_id>0</image_id>${frame}${frame}`);
  });

  it("without frames, or with views that do not fill its grid, is refused", () => {
    expect(() => writeMedium({ type: "video", frames: [] }, 0)).toThrow(PromptError);
    const odd = { viewTokens: [64, 66, 66], grid: { rows: 2, columns: 2 } };
    expect(() => writeMedium({ type: "image", image: odd }, 0)).toThrow(/2x2 slices, got 3 views/);
  });
});

describe("several media in a prompt", () => {
  const messages = [
    {
      role: "user" as const,
      content: [
        { type: "text" as const, text: " Compare " },
        { type: "image" as const },
        { type: "text" as const, text: "with" },
        { type: "image" as const },
        { type: "video" as const },
        { type: "text" as const, text: "Which is red? " },
      ],
    },
  ];
  const video: MediumLayout = { type: "video", frames: [imageOf(60, 60), imageOf(60, 60)] };
  const media = [image(640, 480), image(1084, 820), video];
  const prompt = renderChat(messages, llavaTemplates.qwen3);
  const ids = tokenizeWithImages(tokenizer, prompt, { bos: "none" });

  it("stay where they are, each part on a line of its own, no system text", () => {
    expect(prompt.text).toBe(
      "<|im_start|>user\nCompare\n<image>\nwith\n<image>\n<image>\nWhich is red?<|im_end|>\n" +
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
    );
  });

  it("expand to the tokens of the whole prompt as the reference writes it", () => {
    const expanded = expandMedia(ids, media, tokenizer);
    const counts = [63, 70, 70, 63, 63, 63, 63, 63, 63, 63, 64, 64];
    expect(expanded.filter((id) => id === imagePlaceholderId).length).toBe(counts.length);
    let view = 0;
    const pads = expanded.flatMap((id) => {
      if (id !== imagePlaceholderId) return [id];
      const isVideo = view >= 10;
      return new Array<number>(counts[view++]).fill(
        idOf(isVideo ? "<|video_pad|>" : "<|image_pad|>"),
      );
    });
    let index = 0;
    const numbers = [0, 1, 0];
    const written = prompt.pieces
      .map((piece) =>
        piece.type === "text" ? piece.text : writeMedium(media[index], numbers[index++]),
      )
      .join("");
    expect(pads).toEqual(tokenizer.encode(written, { addSpecialTokens: false }));
  });

  it("keep every text token, and add what is counted", () => {
    const expanded = expandMedia(ids, media, tokenizer);
    const markers = media.map((medium, at) => countMediumTokens(medium, at, tokenizer).markers);
    const numViews = 12;
    const total = markers.reduce((sum, count) => sum + count, 0);
    expect(expanded.length).toBe(ids.length - media.length + numViews + total);
  });

  it("are refused where placeholders and media differ in number, or a marker is no token", () => {
    expect(() => expandMedia(ids, media.slice(1), tokenizer)).toThrow(PromptError);
    expect(() => expandMedia([1, 2], media, tokenizer)).toThrow(/got 0 for 3/);
    const plain = createTokenizer({
      tokenizerJson: readJson("tokenizer/tokenizer.json") as JsonObject,
    });
    expect(() => expandMedia(ids, media, plain)).toThrow(TokenizerError);
    expect(expandMedia([1, 2], [], plain)).toEqual([1, 2]);
  });
});

describe("ChatML", () => {
  const conversation = [
    { role: "user" as const, content: "One?" },
    { role: "assistant" as const, content: "First." },
    { role: "user" as const, content: "Two?" },
    { role: "assistant" as const, content: "Second." },
  ];

  it("of Qwen3 starts the last answer with an empty thought, earlier ones without", () => {
    expect(renderChat(conversation, llavaTemplates.qwen3).text).toBe(
      "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|>\n" +
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nSecond.<|im_end|>\n",
    );
    const thinking = { role: "assistant" as const, content: "<think>\nHm.\n</think>\n\nThird." };
    expect(renderChat([conversation[0], thinking], llavaTemplates.qwen3).text).toBe(
      "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\n<think>\nHm.\n</think>\n\nThird.<|im_end|>\n",
    );
  });

  it("of Qwen2 has no thoughts", () => {
    expect(renderChat(conversation.slice(0, 3), llavaTemplates.chatml).text).toBe(
      "<|im_start|>user\nOne?<|im_end|>\n<|im_start|>assistant\nFirst.<|im_end|>\n" +
        "<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n",
    );
  });

  // The small vocabulary is Llama-3's as well; without its headers it is ChatML's alone.
  const chatmlOnly = {
    ...tokenizer,
    idOf: (token: string) =>
      token.startsWith("<|start_header") ? undefined : tokenizer.idOf(token),
  };

  it("is chosen by the vocabulary where a folder has no template", () => {
    const choose = (idOfToken: typeof tokenizer.idOf) =>
      chooseTemplate({ modelType: "llava_uhd_v4", tokenizer: { ...chatmlOnly, idOf: idOfToken } })
        .name;
    expect(choose(chatmlOnly.idOf)).toBe("qwen3");
    expect(choose((token) => (token === "<think>" ? undefined : chatmlOnly.idOf(token)))).toBe(
      "chatml",
    );
  });

  it("of a folder that writes pad tokens keeps media in place", () => {
    const chatTemplate =
      "{% for m in messages %}{% for part in m.content %}{% if part.type == 'image' %}<|image_pad|>" +
      "{% elif part.type == 'video' %}<|video_pad|>{% else %}{{ part.text }}{% endif %}{% endfor %}{% endfor %}";
    const template = chooseTemplate({
      modelType: "minicpmv4_6",
      tokenizer: chatmlOnly,
      chatTemplate,
    });
    const content = [
      { type: "text" as const, text: "a" },
      { type: "image" as const },
      { type: "text" as const, text: "b" },
      { type: "video" as const },
    ];
    expect(
      renderChat([{ role: "user", content }], template).pieces.map(({ type }) => type),
    ).toEqual(["text", "image", "text", "video", "text"]);
  });
});
