import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../../src/image/decode.node.js";
import type { DecodeOptions } from "../../src/image/decode-options.js";
import { hasBrowser, openPage } from "../support/browser-page.js";
import { fixturePath, readJson } from "../support/recorded-preprocessing.js";

const expected = readJson("image-decode/expected.json") as Record<string, [string, number, number]>;
const read = (name: string) => readFileSync(fixturePath(`image-decode/${name}`));

type Decoded = { width: number; height: number; data: string };
type Library = typeof import("../../src/image/decode-web.js");

let browser: Browser;
let page: Page;

/** Decodes a file in the page; bytes travel as base64. */
const decode = (file: Uint8Array, options: DecodeOptions = {}): Promise<Decoded> =>
  page.evaluate(
    async ([text, settings]) => {
      const { library } = globalThis as unknown as { library: Library };
      const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
      const { width, height, data } = await library.decodeImage(new Blob([bytes]), settings);
      return { width, height, data: btoa(String.fromCharCode(...data)) };
    },
    [Buffer.from(file).toString("base64"), options] as const,
  );

/** Largest difference to Pillow's pixels. */
const compare = async (name: string): Promise<number> => {
  const { width, height, data } = await decode(read(name));
  expect([width, height]).toEqual(expected[name].slice(1));
  const ours = Buffer.from(data, "base64");
  return Math.max(...read(`${name}.rgb`).map((level, i) => Math.abs(level - ours[i])));
};

describe.skipIf(!hasBrowser)("decodeImage in Chromium", () => {
  beforeAll(async () => {
    ({ browser, page } = await openPage("image/decode-web.ts"));
  });
  afterAll(() => browser?.close());

  const names = Object.keys(expected);
  const own = ["cmyk.jpg", "grey16.png"];
  it.each(names.filter((name) => !name.endsWith(".tiff") && !own.includes(name)))(
    "%s equals Pillow's convert(RGB) to the bit, below transparency too",
    async (name) => expect(await compare(name)).toBe(0),
  );

  it("a CMYK JPEG is converted by the browser, within one level", async () => {
    expect(await compare("cmyk.jpg")).toBeLessThanOrEqual(1);
  });

  it("16-bit grey cut at 255 is refused, its high byte is that of the Node version", async () => {
    await expect(decode(read("grey16.png"))).rejects.toThrow(/ImageDecodeError.*grey16 to scaled/);
    const { data } = await decode(read("grey16.png"), { grey16: "scaled" });
    const node = await decodeImage(read("grey16.png"), { grey16: "scaled" });
    const ours = Buffer.from(data, "base64");
    // Browsers round v * 255 / 65535, which is the high byte or one more.
    expect(Math.max(...node.data.map((level, i) => Math.abs(level - ours[i])))).toBeLessThanOrEqual(
      1,
    );
  });

  it("leaves pixels as they are stored when asked to", async () => {
    const stored = await decode(read("orientation-6.jpg"), { orientation: "stored" });
    expect(stored).toEqual(await decode(read("orientation-1.jpg")));
  });

  it.each([
    ["a TIFF, which browsers cannot decode", "lzw.tiff", {}, /ImageDecodeError.*got a tiff/],
    ["more pixels than allowed", "rgb.png", { maxPixels: 961 }, /LimitError.*got 37x26/],
    ["more bytes than allowed", "rgb.png", { maxBytes: 99 }, /LimitError.*at most 99 bytes/],
    ["text", "README.md", {}, /ImageDecodeError.*start with 23 20/],
  ] satisfies [string, string, DecodeOptions, RegExp][])(
    "refuses %s",
    async (_, name, options, message) => {
      await expect(decode(read(name), options)).rejects.toThrow(message);
    },
  );

  it("refuses a file cut in half", async () => {
    const file = read("rgb.png");
    await expect(decode(file.subarray(0, 60))).rejects.toThrow(/ImageDecodeError/);
  });
});
