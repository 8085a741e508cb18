import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ImageDecodeError, LimitError, OptionsError } from "../../src/errors.js";
import { decodeImage } from "../../src/image/decode.node.js";
import { parseImageHeader } from "../../src/image/image-header.js";
import { fixturePath, readJson } from "../support/recorded-preprocessing.js";

const expected = readJson("image-decode/expected.json") as Record<string, [string, number, number]>;
const read = (name: string) => new Uint8Array(readFileSync(fixturePath(`image-decode/${name}`)));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "saccade-decode-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A PNG that claims a size, with hardly any data. */
const createPng = (width: number, height: number): Uint8Array => {
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const framed = Buffer.alloc(body.length + 8);
    framed.writeUInt32BE(data.length);
    body.copy(framed, 4);
    framed.writeUInt32BE(crc32(body), body.length + 4);
    return framed;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const magic = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  const data = chunk("IDAT", deflateSync(Buffer.alloc(1 << 16)));
  return Buffer.concat([magic, chunk("IHDR", header), data, chunk("IEND", Buffer.alloc(0))]);
};

describe("decoding equals Pillow's convert(RGB) to the bit", () => {
  it("covers every format, depth and orientation", () => {
    expect(Object.keys(expected)).toHaveLength(35);
  });

  it.each(Object.entries(expected))("%s (Pillow mode %j)", async (name, [, width, height]) => {
    const image = await decodeImage(fixturePath(`image-decode/${name}`));
    expect([image.width, image.height]).toEqual([width, height]);
    expect(image.data).toBeInstanceOf(Uint8Array);
    expect(Buffer.from(image.data).equals(read(`${name}.rgb`))).toBe(true);
  });
});

describe("decodeImage", () => {
  it("takes bytes as well as a path", async () => {
    const fromBytes = await decodeImage(read("rgba.png"));
    expect(fromBytes).toEqual(await decodeImage(fixturePath("image-decode/rgba.png")));
  });

  it("leaves pixels as they are stored when asked to", async () => {
    const stored = await decodeImage(read("orientation-6.jpg"), { orientation: "stored" });
    expect(stored).toEqual(await decodeImage(read("orientation-1.jpg")));
  });

  it("keeps 16-bit grey visible when asked to, where Pillow cuts at 255", async () => {
    const compat = await decodeImage(read("grey16.png"));
    const scaled = await decodeImage(read("grey16.png"), { grey16: "scaled" });
    expect(Math.max(...scaled.data)).toBe((36 * 37 + 25 * 91) >> 8);
    expect(compat.data.filter((level) => level === 255).length).toBeGreaterThan(2000);
  });

  it("knows the stored size of every file from its header", async () => {
    for (const name of Object.keys(expected)) {
      const header = parseImageHeader(read(name));
      const stored = await decodeImage(read(name), { orientation: "stored" });
      expect([name, header.width, header.height]).toEqual([name, stored.width, stored.height]);
    }
  });

  it("gives one pixel and a 1x5000 image as they are", async () => {
    for (const [width, height] of [
      [1, 1],
      [1, 5000],
    ]) {
      const create = { width, height, channels: 3 as const, background: { r: 9, g: 8, b: 7 } };
      const image = await decodeImage(await sharp({ create }).png().toBuffer());
      expect([image.width, image.height, ...image.data.slice(-3)]).toEqual([
        width,
        height,
        9,
        8,
        7,
      ]);
    }
  });
});

describe("limits are checked before decoding", () => {
  it.each([
    [100_000, 100_000],
    [200_000, 895],
  ])("a PNG that claims %ix%i pixels", async (width, height) => {
    const started = performance.now();
    await expect(decodeImage(createPng(width, height))).rejects.toThrow(LimitError);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  it("maxPixels is the largest number of pixels allowed", async () => {
    await expect(decodeImage(read("rgb.png"), { maxPixels: 37 * 26 })).resolves.toBeDefined();
    const refused = decodeImage(read("rgb.png"), { maxPixels: 37 * 26 - 1 });
    await expect(refused).rejects.toThrow(/at most 961 pixels, got 37x26 = 962.*maxPixels/s);
  });

  it("maxBytes holds for paths and bytes", async () => {
    const maxBytes = read("rgb.png").length - 1;
    for (const source of [read("rgb.png"), fixturePath("image-decode/rgb.png")]) {
      await expect(decodeImage(source, { maxBytes })).rejects.toThrow(LimitError);
    }
  });

  it("a limit is above 0", async () => {
    await expect(decodeImage(read("rgb.png"), { maxPixels: 0 })).rejects.toThrow(OptionsError);
    await expect(decodeImage(read("rgb.png"), { maxBytes: Number.NaN })).rejects.toThrow(
      OptionsError,
    );
  });
});

describe("what cannot be read is an ImageDecodeError that names it", () => {
  const text = new TextEncoder();
  it.each([
    ["no bytes", new Uint8Array(0), /0 bytes that start with nothing/],
    ["text", text.encode("hello, I am no image"), /start with 68 65 6c 6c/],
    ["an SVG, which could load other files", text.encode('<svg xmlns="x"/>'), /start with 3c 73/],
    ["a bitmap", text.encode(`BM${"\x01\0\0\0".repeat(12)}`), /got BMP/],
    ["a PNG header alone", read("rgb.png").slice(0, 20), /broken or cut-off header/],
    ["an image without pixels", createPng(0, 5), /gives a size, got 0x5/],
  ])("%s", async (_, bytes, message) => {
    await expect(decodeImage(bytes)).rejects.toThrow(ImageDecodeError);
    await expect(decodeImage(bytes)).rejects.toThrow(message);
  });

  it.each([
    "baseline.jpg",
    "progressive.jpg",
    "rgb.png",
    "lossy.webp",
    "lzw.tiff",
    "lossless.avif",
  ])("%s cut in half", async (name) => {
    const bytes = read(name);
    const half = bytes.slice(0, bytes.length / 2);
    await expect(decodeImage(half)).rejects.toThrow(ImageDecodeError);
  });

  it("every file cut anywhere is decoded or refused, and never anything else", async () => {
    for (const name of ["baseline.jpg", "rgba.png", "transparent.gif", "lossless.avif"]) {
      const bytes = read(name);
      for (let length = 0; length < bytes.length; length += 97) {
        const outcome = await decodeImage(bytes.slice(0, length)).then(
          () => "decoded",
          (error: unknown) => (error instanceof ImageDecodeError ? "refused" : error),
        );
        expect(["decoded", "refused"]).toContain(outcome);
      }
    }
  });

  it("a missing file, a folder, a device", async () => {
    const path = join(folder, "text.png");
    writeFileSync(path, "no image");
    for (const source of [join(folder, "none.png"), folder, "/dev/null", path]) {
      const refused = decodeImage(source);
      await expect(refused).rejects.toThrow(ImageDecodeError);
      await expect(refused).rejects.toThrow(source);
    }
  });
});
