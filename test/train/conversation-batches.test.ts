import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openJsonDataset } from "../../src/data/json-dataset.node.js";
import { createReadReport } from "../../src/data/read-report.js";
import { DatasetError } from "../../src/errors.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { clipProcessing } from "../../src/systems/image-processing.js";
import { llavaTemplates } from "../../src/text/llava-templates.js";
import { createTokenizer } from "../../src/text/tokenizer.js";
import { createConversationBatches } from "../../src/train/conversation-batches.js";
import { labelSample } from "../../src/train/labelled-sample.js";
import { createPixelLoader } from "../../src/train/sample-pixels.node.js";

const fixture = async (name: string) =>
  JSON.parse(await readFile(new URL(`../fixtures/tokenizer/${name}`, import.meta.url), "utf8"));

let folder = "";
let tokenizer: ReturnType<typeof createTokenizer>;
const side = 32;
const processor = { ...clipConfig(side), normalize: null };
const loadPixels = createPixelLoader(
  clipProcessing(processor, { imageMode: { aspect: "square" }, frameResize: "image" }),
);

const numImages = 12;
const record = (at: number) => ({
  id: `image${at}`,
  image: `${at}.png`,
  conversations: [
    { from: "human", value: "<image>\nWhat is it?" },
    { from: "gpt", value: "a dog. ".repeat(1 + (at % 4) * 3) },
  ],
});
const talk = (at: number) => ({
  id: `text${at}`,
  conversations: [
    { from: "human", value: `Say ${at}` },
    { from: "gpt", value: "so ".repeat(at + 1) },
  ],
});

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "saccade-batches-"));
  tokenizer = createTokenizer({
    tokenizerJson: await fixture("tokenizer.json"),
    tokenizerConfig: await fixture("tokenizer_config.json"),
  });
  for (let at = 0; at < numImages; at++)
    await sharp({
      create: { width: 40, height: side, channels: 3, background: { r: at * 10, g: 0, b: 255 } },
    })
      .png()
      .toFile(join(folder, `${at}.png`));
  await writeFile(join(folder, "broken.png"), "no image");
});
const opened: { close(): Promise<void> }[] = [];
afterAll(async () => {
  for (const reader of opened) await reader.close();
  await rm(folder, { recursive: true, force: true });
});

const labels = () => ({ tokenizer, template: llavaTemplates.llava_llama_3_1 });
const open = async (records: readonly unknown[], options: object = {}) => {
  const path = join(folder, "data.jsonl");
  await writeFile(
    path,
    records.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join("\n"),
  );
  const reader = await openJsonDataset(path, "llava", { mediaRoot: folder });
  opened.push(reader);
  const report = createReadReport({ numRecords: reader.length });
  const create = () =>
    createConversationBatches({
      reader,
      report,
      labels: labels(),
      padId: tokenizer.padId ?? 0,
      batchSize: 4,
      seed: 7,
      buckets: { maxBuckets: 2 },
      loadPixels,
      ...options,
    });
  return { report, create, batches: await create() };
};

const records = [
  ...Array.from({ length: numImages }, (_, at) => record(at)),
  ...Array.from({ length: 5 }, (_, at) => talk(at)),
];
type Batch = Awaited<ReturnType<Awaited<ReturnType<typeof open>>["batches"]["next"]>>;
const isFiller = (row: readonly number[]) => row.every((label) => label === -100);

describe("an epoch of batches", () => {
  test("holds every sample once: its ids, its labels and its own pixels", async () => {
    const { batches, report } = await open(records);
    const rows: { ids: number[]; labels: number[]; red?: number }[] = [];
    for (let count = 0; count < batches.batchesPerEpoch; count++) {
      const batch: Batch = await batches.next();
      expect(batch.ids).toHaveLength(4);
      expect(batches.buckets.lengths).toContain(batch.ids[0].length);
      expect(new Set(batch.ids.map((row) => row.includes(-200))).size).toBe(1);
      for (const [at, row] of batch.ids.entries()) {
        if (isFiller(batch.labels[at])) continue;
        const isKept = (_: number, place: number) => !batch.isPadding[at][place];
        expect(
          batch.labels[at].every((label, place) => label === -100 || !batch.isPadding[at][place]),
        ).toBe(true);
        rows.push({
          ids: row.filter(isKept),
          labels: batch.labels[at].filter(isKept),
          ...(batch.pixels && { red: batch.pixels.data[at * 3 * side * side] * 255 }),
        });
      }
    }
    const expected = records.map((value, at) => {
      const [question, reply] = value.conversations;
      const isImage = at < numImages;
      const { ids, labels: supervised } = labelSample(
        [
          {
            role: "user",
            content: isImage
              ? [{ type: "image" }, { type: "text", text: "What is it?" }]
              : question.value,
          },
          { role: "assistant", content: reply.value },
        ],
        labels(),
      );
      return { ids: [...ids], labels: [...supervised], ...(isImage && { red: at * 10 }) };
    });
    const sorted = (all: typeof rows) =>
      all
        .map((row) =>
          JSON.stringify({ ...row, ...(row.red !== undefined && { red: Math.round(row.red) }) }),
        )
        .sort();
    expect(sorted(rows)).toEqual(sorted(expected));
    expect(report).toMatchObject({ numGood: records.length, numBad: 0 });
    expect(batches.numSamples).toBe(records.length);
  });

  test("continues exactly after a resume, wherever the run stopped", async () => {
    const { batches, create } = await open(records);
    for (let numBefore = 0; numBefore < 12; numBefore++) {
      const place = JSON.parse(JSON.stringify(batches.state()));
      const resumed = await create();
      resumed.restore(place);
      expect(await resumed.next()).toEqual(await batches.next());
    }
  });
});

describe("bad samples", () => {
  test("known before the first step are left out; a broken image masks its row", async () => {
    const late = { ...record(0), id: "late", image: "broken.png" };
    const twoImages = {
      image: ["0.png", "1.png"],
      conversations: [
        { from: "human", value: "<image><image>" },
        { from: "gpt", value: "x" },
      ],
    };
    const unanswered = { conversations: [{ from: "human", value: "Hi" }] };
    const { batches, report } = await open([
      record(1),
      late,
      "{",
      record(2),
      twoImages,
      unanswered,
      record(3),
    ]);
    expect(report.badRecords.map(({ place }) => place.line)).toEqual([3, 5, 6]);
    expect(batches.numSamples).toBe(4);
    let numRows = 0;
    for (let count = 0; count < batches.batchesPerEpoch; count++)
      numRows += (await batches.next()).labels.filter((row) => !isFiller(row)).length;
    expect(numRows).toBe(3);
    expect(report.badRecords.map(({ place }) => place.line)).toEqual([3, 5, 6, 2]);
    expect(report.badRecords[3].message).toMatch(/data\.jsonl:2: .*broken\.png/);
  });

  test("alone are an error, before or while reading", async () => {
    await expect(open(["{"])).rejects.toThrow(DatasetError);
    const { batches } = await open([{ ...record(0), image: "broken.png" }]);
    await expect(batches.next()).rejects.toThrow(/broken\.png/);
  });

  test("with media are refused where none can be loaded", async () => {
    const { batches, report } = await open(records, { loadPixels: undefined });
    expect(batches.numSamples).toBe(5);
    expect(report.numBad).toBe(numImages);
  });
});
