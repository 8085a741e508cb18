import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type DatasetOptions,
  openJsonDataset,
  type RecordFormat,
} from "../../src/data/json-dataset.node.js";
import { createReadReport } from "../../src/data/read-report.js";
import { iterateSamples } from "../../src/data/sample-reader.js";
import { DatasetError, OptionsError } from "../../src/errors.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "saccade-data-"));
  await mkdir(join(folder, "media/sub"), { recursive: true });
  for (const name of ["a.png", "sub/b.png", "c.mp4"])
    await writeFile(join(folder, "media", name), "x");
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const media = () => join(folder, "media");

let numFiles = 0;
/** Every result of a file with this text. */
const readText = async (
  text: string | Uint8Array,
  format: RecordFormat,
  options: DatasetOptions = {},
) => {
  const path = join(folder, `${numFiles++}.json`);
  await writeFile(path, text);
  const reader = await openJsonDataset(path, format, { mediaRoot: media(), ...options });
  const results = [];
  for (let index = 0; index < reader.length; index++) results.push(await reader.read(index));
  await reader.close();
  return { path, results };
};
const readOne = async (record: unknown, format: RecordFormat, options: DatasetOptions = {}) => {
  const { results } = await readText(JSON.stringify([record]), format, options);
  return results[0];
};
const read = async (record: unknown, format: RecordFormat, options: DatasetOptions = {}) => {
  const result = await readOne(record, format, options);
  if ("bad" in result) throw new Error(result.bad.message);
  return result.sample;
};
const refuse = async (record: unknown, format: RecordFormat, options: DatasetOptions = {}) => {
  const result = await readOne(record, format, options);
  return "bad" in result ? result.bad.message : `accepted ${JSON.stringify(result.sample)}`;
};

const human = (value: string) => ({ from: "human", value });
const gpt = (value: string) => ({ from: "gpt", value });
const image = { type: "image" };
const video = { type: "video" };
const text = (value: string) => ({ type: "text", text: value });

describe("LLaVA JSON", () => {
  test("an image, two turns, and fields of its own", async () => {
    const sample = await read(
      {
        id: "000000033471",
        image: "sub/b.png",
        model: "",
        conversations: [human("<image>\nWhat?"), gpt("A bus."), human("Colour?"), gpt("Red.")],
      },
      "llava",
    );
    expect(sample).toEqual({
      id: "000000033471",
      messages: [
        { role: "user", content: [image, text("\nWhat?")] },
        { role: "assistant", content: "A bus." },
        { role: "user", content: "Colour?" },
        { role: "assistant", content: "Red." },
      ],
      media: [{ type: "image", path: join(media(), "sub/b.png") }],
      source: { file: expect.stringMatching(/\.json$/), line: 1 },
      metadata: { model: "" },
    });
  });

  test("several images, in the order of their tags, with text around them", async () => {
    const { messages, media: found } = await read(
      {
        image: ["a.png", "sub/b.png"],
        conversations: [human("Is <image> in <image>?"), gpt("No")],
      },
      "llava",
    );
    expect(messages[0].content).toEqual([text("Is "), image, text(" in "), image, text("?")]);
    expect(found.map((medium) => "path" in medium && medium.path)).toEqual([
      join(media(), "a.png"),
      join(media(), "sub/b.png"),
    ]);
  });

  test("text alone, with a number as id; no id becomes file and line", async () => {
    const conversations = [human("Hi"), gpt("Hello <image>")];
    const first = await read({ id: 7, conversations }, "llava");
    expect(first).toMatchObject({ id: "7", media: [] });
    expect(first.messages[1].content).toBe("Hello <image>");
    expect((await read({ conversations }, "llava")).id).toMatch(/^\d+\.json:1$/);
  });

  test("a video, tagged as a video or as an image", async () => {
    for (const tag of ["<video>", "<image>"]) {
      const sample = await read(
        { video: "c.mp4", conversations: [human(`${tag}\nWhat?`), gpt("A dog.")] },
        "llava",
      );
      expect(sample.messages[0].content).toEqual([video, text("\nWhat?")]);
      expect(sample.media).toEqual([{ type: "video", path: join(media(), "c.mp4") }]);
    }
  });

  test("media without a tag are bad, or go to the front when asked to", async () => {
    const record = { image: "a.png", conversations: [human("What?"), gpt("A bus.")] };
    expect(await refuse(record, "llava")).toMatch(/\(1\), got 0.*untaggedMedia/s);
    const sample = await read(record, "llava", { untaggedMedia: "front" });
    expect(sample.messages[0].content).toEqual([image, text("What?")]);
  });

  const cases: [string, object, RegExp][] = [
    ["a tag without an image", { conversations: [human("<image>?"), gpt("x")] }, /\(0\), got 1/],
    [
      "a turn that is no text",
      { conversations: [human("a"), { from: "gpt", value: 3 }] },
      /conversations\.1\.value.*got 3/,
    ],
    ["no conversation", { id: "x" }, /conversations.*got undefined/],
    ["an empty conversation", { conversations: [] }, /conversations/],
    ["an unknown role", { conversations: [{ from: "function", value: "x" }] }, /"function"/],
    [
      "a late system turn",
      { conversations: [human("a"), { from: "system", value: "x" }] },
      /system/,
    ],
    [
      "a missing file",
      { image: "none.png", conversations: [human("<image>"), gpt("x")] },
      /none at .*none\.png/,
    ],
    [
      "a way out of the folder",
      { image: "../0.json", conversations: [human("<image>"), gpt("x")] },
      /below .*"\.\.\/0\.json"/,
    ],
    [
      "another absolute path",
      { image: "/etc/hostname", conversations: [human("<image>"), gpt("x")] },
      /must lie below/,
    ],
    [
      "a remote image",
      { image: "https://x.org/a.png", conversations: [human("<image>"), gpt("x")] },
      /local file/,
    ],
    [
      "images in two fields",
      { image: "a.png", images: ["a.png"], conversations: [human("<image>"), gpt("x")] },
      /one field/,
    ],
  ];
  test.each(cases)("%s is bad", async (_, record, message) => {
    expect(await refuse(record, "llava")).toMatch(message);
  });
});

describe("ShareGPT and messages", () => {
  test("columns of images and videos, and a system text", async () => {
    const sample = await read(
      {
        system: "Be brief.",
        images: ["a.png"],
        videos: ["c.mp4"],
        conversations: [human("<video><image>Same?"), gpt("No.")],
      },
      "sharegpt",
    );
    expect(sample.messages[0]).toEqual({ role: "system", content: "Be brief." });
    expect(sample.messages[1].content).toEqual([video, image, text("Same?")]);
    expect(sample.media.map(({ type }) => type)).toEqual(["video", "image"]);
  });

  test("role and content, with tags or parts", async () => {
    for (const content of ["<image>What?", [image, text("What?")]]) {
      const record = {
        messages: [
          { role: "user", content },
          { role: "assistant", content: "A bus." },
        ],
        images: [{ path: "a.png" }],
      };
      const sample = await read(record, "messages");
      expect(sample.messages[0].content).toEqual([image, text("What?")]);
      expect(sample.media).toEqual([{ type: "image", path: join(media(), "a.png") }]);
    }
  });

  test("other names of the fields", async () => {
    const record = {
      talk: [
        { who: "user", says: "Hi" },
        { who: "assistant", says: "Ho" },
      ],
    };
    const columns = { turns: "talk", role: "who", text: "says" };
    expect((await read(record, "sharegpt", { columns })).messages).toHaveLength(2);
  });
});

describe("OpenAI chat", () => {
  const ask = (url: unknown) => ({
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "What?" },
          { type: "image_url", image_url: url },
        ],
      },
      { role: "assistant", content: "A bus." },
    ],
  });

  test("images as data, as files and as file addresses", async () => {
    const data = await read(
      ask({ url: "data:image/png;base64,iVBORw==", detail: "low" }),
      "openai",
    );
    expect(data.media).toEqual([
      { type: "image", bytes: new Uint8Array([0x89, 0x50, 0x4e, 0x47]) },
    ]);
    expect(data.messages[0].content).toEqual([text("What?"), image]);
    for (const url of ["a.png", `file://${media()}/a.png`, join(media(), "a.png")])
      expect((await read(ask(url), "openai")).media).toEqual([
        { type: "image", path: join(media(), "a.png") },
      ]);
  });

  const cases: [string, unknown, RegExp][] = [
    ["a remote image", ask("https://x.org/a.png"), /local file/],
    ["data that is no image", ask("data:text/html;base64,AAAA"), /data:image/],
    ["data that is no base64", ask("data:image/png;base64,%%"), /base64/],
    ["a file elsewhere", ask("file:///etc/hostname"), /must lie below/],
    ["an encoded way out", ask(`file://${encodeURIComponent("/..")}/x`), /three slashes/],
    [
      "a part of another type",
      { messages: [{ role: "user", content: [{ type: "input_audio" }] }] },
      /content/,
    ],
    [
      "a call of a tool",
      { messages: [{ role: "assistant", content: "x", tool_calls: [{}] }] },
      /tool/,
    ],
    ["a weight of 0", { messages: [{ role: "assistant", content: "x", weight: 0 }] }, /weight/],
  ];
  test.each(cases)("%s is bad", async (_, record, message) => {
    expect(await refuse(record, "openai")).toMatch(message);
  });
});

describe("bad records", () => {
  const good = JSON.stringify({ conversations: [human("a"), gpt("b")] });
  const lines = [good, "{broken", good, '{"conversations": 1}', good];

  test("are named with file and line, and the others are read", async () => {
    const { path, results } = await readText(lines.join("\n"), "llava");
    const messages = results.flatMap((result) => ("bad" in result ? [result.bad.message] : []));
    expect(messages).toEqual([
      expect.stringContaining(`${path}:2: readRecord: a record must be JSON`),
      expect.stringContaining(`${path}:4: parseRecord: conversations`),
    ]);
    expect(results.filter((result) => "sample" in result)).toHaveLength(3);
  });

  test("text that is no UTF-8 is bad, not mended", async () => {
    const bytes = new TextEncoder().encode(`${good}\n${good}`);
    bytes[good.indexOf("a", 20)] = 0xff;
    const { results } = await readText(bytes, "llava");
    expect(results.map((result) => "bad" in result)).toEqual([true, false]);
  });

  const open = async (name: string, content: string) => {
    const path = join(folder, name);
    await writeFile(path, content);
    return openJsonDataset(path, "llava");
  };

  test("are counted once and skipped in a stream, up to the limit", async () => {
    const reader = await open("stream.jsonl", lines.join("\n"));
    const told: number[] = [];
    const report = createReadReport({
      numRecords: reader.length,
      onBad: ({ place }) => told.push(place.line ?? 0),
    });
    for (let epoch = 0; epoch < 2; epoch++) {
      let numSamples = 0;
      for await (const sample of iterateSamples(reader, report))
        numSamples += sample.messages.length;
      expect(numSamples).toBe(6);
    }
    expect(report).toMatchObject({ numGood: 6, numBad: 2 });
    expect(told).toEqual([2, 4]);
    const strict = createReadReport({ numRecords: reader.length, maxBadShare: 0.3 });
    const all = async () => {
      for await (const _ of iterateSamples(reader, strict));
    };
    await expect(all()).rejects.toThrow(DatasetError);
    await expect(all()).rejects.toThrow(/30 % of 5 records.*got 2/s);
    await reader.close();
  });

  test("a record above the limit of bytes is bad without being read", async () => {
    const path = join(folder, "large.jsonl");
    await writeFile(
      path,
      `${good}\n${JSON.stringify({ conversations: [human("a".repeat(500)), gpt("b")] })}`,
    );
    const reader = await openJsonDataset(path, "llava", { maxRecordBytes: 400 });
    expect(await reader.read(0)).toHaveProperty("sample");
    expect(await reader.read(1)).toMatchObject({
      bad: { message: expect.stringMatching(/at most 400/) },
    });
    await reader.close();
  });

  test("a missing file, an index outside and an unknown format are errors", async () => {
    await expect(openJsonDataset(join(folder, "none.json"), "llava")).rejects.toThrow(DatasetError);
    await expect(openJsonDataset(folder, "llava")).rejects.toThrow(DatasetError);
    await expect(openJsonDataset("x", "vqa" as RecordFormat)).rejects.toThrow(OptionsError);
    const reader = await open("one.jsonl", good);
    await expect(reader.read(1)).rejects.toThrow(OptionsError);
    await reader.close();
  });

  test("the fingerprint follows the content", async () => {
    const prints = [];
    for (const content of [good, `${good}\n`, good]) {
      const reader = await open("same.jsonl", content);
      prints.push(reader.fingerprint);
      await reader.close();
    }
    expect(prints[0]).toBe(prints[2]);
    expect(prints[0]).not.toBe(prints[1]);
  });
});
