import { ImageDecodeError } from "../errors.js";
import type { Size } from "./image.js";

export type ImageFormat = "jpeg" | "png" | "webp" | "gif" | "tiff" | "avif" | "bmp";

/** What the first bytes of an image file say, before anything is decoded. Sizes are as stored. */
export type ImageHeader = Size & { readonly format: ImageFormat };

type Reader = (bytes: DataView) => Size | undefined;

const textAt = (bytes: DataView, offset: number, length: number): string =>
  String.fromCharCode(...Array.from({ length }, (_, i) => bytes.getUint8(offset + i)));

const readPng: Reader = (bytes) => ({ width: bytes.getUint32(16), height: bytes.getUint32(20) });

const readGif: Reader = (bytes) => ({
  width: bytes.getUint16(6, true),
  height: bytes.getUint16(8, true),
});

const readBmp: Reader = (bytes) => ({
  width: bytes.getInt32(18, true),
  // Negative: stored from top to bottom.
  height: Math.abs(bytes.getInt32(22, true)),
});

/** Walks the segments up to the frame header (SOF0 to SOF15, which are no DHT, JPG or DAC). */
const readJpeg: Reader = (bytes) => {
  let offset = 2;
  for (;;) {
    if (bytes.getUint8(offset) !== 0xff) return undefined;
    const marker = bytes.getUint8(offset + 1);
    if (marker === 0xff) {
      offset += 1;
      continue;
    }
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { height: bytes.getUint16(offset + 5), width: bytes.getUint16(offset + 7) };
    const isBare = marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
    offset += isBare ? 2 : 2 + bytes.getUint16(offset + 2);
  }
};

const readWebp: Reader = (bytes) => {
  const chunk = textAt(bytes, 12, 4);
  if (chunk === "VP8X") {
    const side = (offset: number) =>
      1 + bytes.getUint16(offset, true) + bytes.getUint8(offset + 2) * 65_536;
    return { width: side(24), height: side(27) };
  }
  if (chunk === "VP8L") {
    const bits = bytes.getUint32(21, true);
    return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
  }
  if (chunk !== "VP8 ") return undefined;
  const width = bytes.getUint16(26, true) & 0x3fff;
  return { width, height: bytes.getUint16(28, true) & 0x3fff };
};

/** The first directory's ImageWidth and ImageLength; TIFF and BigTIFF, either byte order. */
const readTiff: Reader = (bytes) => {
  const little = textAt(bytes, 0, 2) === "II";
  const isBig = bytes.getUint16(2, little) === 43;
  const long = (offset: number) => Number(bytes.getBigUint64(offset, little));
  const directory = isBig ? long(8) : bytes.getUint32(4, little);
  const numEntries = isBig ? long(directory) : bytes.getUint16(directory, little);
  const values = new Map<number, number>();
  for (let entry = 0; entry < numEntries && !values.has(257); entry++) {
    const offset = directory + (isBig ? 8 + entry * 20 : 2 + entry * 12);
    const type = bytes.getUint16(offset + 2, little);
    const at = offset + (isBig ? 12 : 8);
    const tag = bytes.getUint16(offset, little);
    if (type === 16) values.set(tag, long(at));
    else values.set(tag, type === 3 ? bytes.getUint16(at, little) : bytes.getUint32(at, little));
  }
  return { width: values.get(256) ?? 0, height: values.get(257) ?? 0 };
};

/** The largest `ispe` (image spatial extents) property: a grid is larger than its tiles. */
const readAvif: Reader = (bytes) => {
  const ispe = 0x69737065;
  const end = Math.min(bytes.byteLength - 15, 1 << 20);
  let largest: Size = { width: 0, height: 0 };
  for (let offset = 0; offset < end; offset++) {
    if (bytes.getUint32(offset) !== ispe) continue;
    const found = { width: bytes.getUint32(offset + 8), height: bytes.getUint32(offset + 12) };
    if (found.width * found.height > largest.width * largest.height) largest = found;
  }
  return largest;
};

const isAvif = (bytes: DataView): boolean => {
  if (textAt(bytes, 4, 4) !== "ftyp") return false;
  const brands = textAt(bytes, 8, Math.min(bytes.getUint32(0), bytes.byteLength, 256) - 8);
  return /avif|avis/.test(brands);
};

const startsWith = (bytes: DataView, text: string, offset = 0): boolean =>
  bytes.byteLength >= offset + text.length && textAt(bytes, offset, text.length) === text;

const formats: readonly [ImageFormat, (bytes: DataView) => boolean, Reader][] = [
  ["jpeg", (bytes) => startsWith(bytes, "\xff\xd8\xff"), readJpeg],
  ["png", (bytes) => startsWith(bytes, "\x89PNG\r\n\x1a\n"), readPng],
  ["webp", (bytes) => startsWith(bytes, "RIFF") && startsWith(bytes, "WEBP", 8), readWebp],
  ["gif", (bytes) => startsWith(bytes, "GIF87a") || startsWith(bytes, "GIF89a"), readGif],
  [
    "tiff",
    (bytes) => ["II*\0", "MM\0*", "II+\0", "MM\0+"].some((magic) => startsWith(bytes, magic)),
    readTiff,
  ],
  ["avif", (bytes) => bytes.byteLength > 16 && isAvif(bytes), readAvif],
  ["bmp", (bytes) => startsWith(bytes, "BM") && bytes.byteLength > 26, readBmp],
];

/**
 * Format and stored size of an image file, read from its header alone (EXIF orientation not applied).
 * `name` is what the error calls it.
 *
 * Throws ImageDecodeError for bytes of no format that we know, a header cut off, or an empty image.
 */
export const parseImageHeader = (file: Uint8Array, name = "image"): ImageHeader => {
  const bytes = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const known = formats.find(([, isFormat]) => isFormat(bytes));
  if (!known) {
    const start = Array.from(file.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0"));
    throw new ImageDecodeError(
      `parseImageHeader: ${name} is a JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP file, got ` +
        `${file.length} bytes that start with ${start.join(" ") || "nothing"}. Convert it to PNG.`,
    );
  }
  const [format, , read] = known;
  let size: Size | undefined;
  try {
    size = read(bytes);
  } catch (error) {
    // Past the end of the bytes: handled below with the other broken headers.
    if (!(error instanceof RangeError)) throw error;
  }
  if (size && size.width > 0 && size.height > 0) return { format, ...size };
  throw new ImageDecodeError(
    `parseImageHeader: the ${format} header of ${name} gives a size, got ` +
      `${size ? `${size.width}x${size.height}` : "a broken or cut-off header"} in ` +
      `${file.length} bytes. Fetch the file again.`,
  );
};
