import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openDataMix, openDataset } from "../../src/data/open-dataset.node.js";
import { openParquetDataset } from "../../src/data/parquet-dataset.node.js";
import { permute } from "../../src/data/permutation.js";
import { DatasetError, OptionsError } from "../../src/errors.js";

/**
 * Seven rows in groups of three, written by hyparquet-writer 0.17.0: id (int64), image {bytes, path} (none in rows 2 and
 * 5), conversations; the answer of row 4 is null.
 */
const pathOf = (name: string) =>
  fileURLToPath(new URL(`../fixtures/parquet/${name}`, import.meta.url));
const names = ["groups-snappy.parquet", "index-gzip.parquet", "lists-plain.parquet"];

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "saccade-parquet-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const expected = (row: number) => ({
  id: String(row),
  messages: [
    {
      role: "user",
      content:
        row % 3 === 2
          ? `What is ${row}? é🦊`
          : [{ type: "image" }, { type: "text", text: `\nWhat is ${row}? é🦊` }],
    },
    { role: "assistant", content: `It is ${row}.` },
  ],
  media:
    row % 3 === 2
      ? []
      : [
          {
            type: "image",
            bytes: new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0xff, 0xfe, 0, 0xc3, row]),
          },
        ],
});

describe.each(names)("%s", (name) => {
  // 600 bytes hold one group of three rows, not all three groups.
  test.each([2 ** 30, 600])(
    "gives every row in any order, image bytes untouched, and names the bad one, in %i bytes",
    async (maxGroupBytes) => {
      const reader = await openParquetDataset(pathOf(name), "llava", { maxGroupBytes });
      expect(reader.length).toBe(7);
      const orders = [[0, 1, 2, 3, 4, 5, 6], [...permute(7, [1])], [6, 0, 6, 0]];
      for (const row of orders.flat()) {
        const result = await reader.read(row);
        if (row === 4) {
          const message = expect.stringMatching(/, row 4: parseRecord: conversations\.1\.value/);
          expect(result).toMatchObject({ bad: { place: { row: 4 }, message } });
        } else expect(result).toMatchObject({ sample: { ...expected(row), source: { row } } });
      }
      const together = await Promise.all([6, 0, 3, 1, 6].map((row) => reader.read(row)));
      expect(together).toMatchObject([6, 0, 3, 1, 6].map((row) => ({ sample: expected(row) })));
      await expect(reader.read(7)).rejects.toThrow(OptionsError);
      await reader.close();
    },
  );
});

describe("a Parquet file", () => {
  test("that is damaged gives bad records, or cannot be opened where its footer is", async () => {
    const bytes = new Uint8Array(await readFile(pathOf(names[0])));
    const path = join(folder, "damaged.parquet");
    await writeFile(path, bytes.with(40, bytes[40] ^ 0xff).fill(0xff, 60, 120));
    const reader = await openParquetDataset(path, "llava");
    expect(await reader.read(0)).toHaveProperty("bad");
    expect(await reader.read(6)).toMatchObject({ sample: expected(6) });
    await reader.close();
    for (const part of [bytes.subarray(0, 200), new Uint8Array(0)]) {
      await writeFile(path, part);
      await expect(openParquetDataset(path, "llava")).rejects.toThrow(DatasetError);
    }
    await expect(openParquetDataset(join(folder, "none"), "llava")).rejects.toThrow(DatasetError);
  });

  test("with a row group above the limit is not decoded", async () => {
    const reader = await openParquetDataset(pathOf(names[0]), "llava", { maxGroupBytes: 10 });
    // The one with an offset index needs no group.
    const indexed = await openParquetDataset(pathOf(names[1]), "llava", { maxGroupBytes: 10 });
    expect(await indexed.read(0)).toMatchObject({ sample: expected(0) });
    await indexed.close();
    expect(await reader.read(0)).toMatchObject({
      bad: { message: expect.stringMatching(/at most 10/) },
    });
    await reader.close();
  });
});

describe("datasets by name", () => {
  test("a folder of Parquet files is one dataset, in the order of their names", async () => {
    const shards = join(folder, "shards");
    await mkdir(shards);
    for (const [at, name] of names.entries())
      await copyFile(pathOf(name), join(shards, `train-0000${2 - at}-of-00003.parquet`));
    const reader = await openDataset(shards, "llava");
    expect(reader.length).toBe(21);
    expect(await reader.read(7)).toMatchObject({
      sample: { id: "0", source: { file: expect.stringMatching(/00001/) } },
    });
    await reader.close();
  });

  test("a mix takes parts of files of any format", async () => {
    const path = join(folder, "talk.jsonl");
    const line = (id: string) =>
      JSON.stringify({ id, messages: [{ role: "user", content: "Hi" }] });
    await writeFile(path, ["x", "y", "z"].map(line).join("\n"));
    const mix = await openDataMix(
      [
        { path: pathOf(names[1]), format: "llava", sampling: "end:2" },
        { path, format: "openai", sampling: "first:34%" },
      ],
      0,
    );
    const results = await Promise.all([...new Array(mix.length).keys()].map((at) => mix.read(at)));
    expect(results.map((result) => ("sample" in result ? result.sample.id : "bad"))).toEqual([
      "5",
      "6",
      "x",
      "y",
    ]);
    await mix.close();
    await expect(openDataMix([{ path, format: "openai", sampling: "first:9" }], 0)).rejects.toThrow(
      OptionsError,
    );
    await expect(openDataset(join(folder, "nothing"), "llava")).rejects.toThrow(DatasetError);
    await mkdir(join(folder, "empty"));
    await expect(openDataset(join(folder, "empty"), "llava")).rejects.toThrow(/without \.parquet/);
  });
});
