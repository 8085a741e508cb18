import { describe, expect, test } from "vitest";
import { mixReaders, sampleReader } from "../../src/data/data-mix.js";
import { openDataMix } from "../../src/data/open-dataset.node.js";
import type { SampleReader } from "../../src/data/sample-reader.js";
import { OptionsError } from "../../src/errors.js";

const createReader = (name: string, length: number): SampleReader => ({
  name,
  length,
  fingerprint: name,
  read: async (index) => ({
    sample: {
      id: `${name}${index}`,
      messages: [],
      media: [],
      source: { file: name, line: index + 1 },
    },
  }),
  close: async () => {},
});
const idsOf = async (reader: SampleReader) => {
  const ids: string[] = [];
  for (let index = 0; index < reader.length; index++) {
    const result = await reader.read(index);
    ids.push("sample" in result ? result.sample.id : "bad");
  }
  return ids;
};
const take = (strategy: string, length = 10, seed = 0) =>
  idsOf(sampleReader(createReader("a", length), strategy, seed));

test("a dataset of a mix may have a format of its own, which a run's state knows of", async () => {
  const scenes = { count: 2, heightPx: 24 };
  const own = await openDataMix([{ scenes }, { scenes, template: "keywords" }], 0);
  const templates = await Promise.all(
    [0, 1, 2, 3].map(async (index) => {
      const result = await own.read(index);
      return "sample" in result ? result.sample.template : "bad";
    }),
  );
  expect(templates).toEqual([undefined, undefined, "keywords", "keywords"]);
  const plain = await openDataMix([{ scenes }, { scenes }], 0);
  expect(own.fingerprint).not.toBe(plain.fingerprint);
  await Promise.all([own.close(), plain.close()]);
});

describe("parts of a dataset", () => {
  test("first, end and all, by count and by share rounded up", async () => {
    expect(await take("first:3")).toEqual(["a0", "a1", "a2"]);
    expect(await take("end:2")).toEqual(["a8", "a9"]);
    expect(await take("first:25%")).toEqual(["a0", "a1", "a2"]);
    expect(await take("end:10%", 30)).toEqual(["a27", "a28", "a29"]);
    expect(await take("all")).toHaveLength(10);
    expect(await take("first:100%")).toEqual(await take("all"));
  });

  test("random is without repeats, the same for a seed and another for others", async () => {
    const drawn = await take("random:6");
    expect(new Set(drawn).size).toBe(6);
    expect(await take("random:6")).toEqual(drawn);
    expect(await take("random:6", 10, 1)).not.toEqual(drawn);
    expect((await take("random:100%")).toSorted()).toEqual(await take("all"));
  });

  test("more than there is, nothing and nonsense are refused", async () => {
    for (const strategy of [
      "first:11",
      "end:110%",
      "random:0",
      "first:0%",
      "middle:3",
      "first:",
      "3",
      "first:1.5",
    ])
      expect(() => sampleReader(createReader("a", 10), strategy, 0), strategy).toThrow(
        OptionsError,
      );
    expect(() => mixReaders([], 0)).toThrow(OptionsError);
  });
});

describe("a mix", () => {
  test("is its parts in order", async () => {
    const mix = mixReaders(
      [
        { reader: createReader("a", 5), sampling: "end:2" },
        { reader: createReader("b", 0) },
        { reader: createReader("c", 2) },
      ],
      0,
    );
    expect(await idsOf(mix)).toEqual(["a3", "a4", "c0", "c1"]);
    await expect(mix.read(4)).rejects.toThrow(OptionsError);
  });

  test("has a fingerprint that follows parts and seed", () => {
    const print = (sampling: string, seed: number) =>
      mixReaders([{ reader: createReader("a", 10), sampling }], seed).fingerprint;
    const prints = [
      print("all", 0),
      print("first:3", 0),
      print("random:3", 0),
      print("random:3", 1),
    ];
    expect(new Set(prints).size).toBe(4);
    expect(print("first:3", 0)).toBe(print("first:3", 1));
  });
});
