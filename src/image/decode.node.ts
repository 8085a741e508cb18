import { open } from "node:fs/promises";
import sharp, { type Metadata, type Sharp } from "sharp";
import { ImageDecodeError, LimitError } from "../errors.js";
import {
  checkFileSize,
  checkPixels,
  type DecodeOptions,
  type DecodeSettings,
  parseDecodeOptions,
} from "./decode-options.js";
import { clearGifTransparency, fillAroundFrame } from "./gif-first-frame.js";
import type { RgbImage } from "./image.js";
import { parseImageHeader } from "./image-header.js";

/** The bytes of a regular file, which is refused before reading if it is too large. */
const readFile = async (path: string, settings: DecodeSettings): Promise<Uint8Array> => {
  try {
    const file = await open(path, "r");
    try {
      const stat = await file.stat();
      // A device or pipe has no size to check, and may never end.
      if (!stat.isFile()) throw new Error("something that is no regular file");
      checkFileSize(path, stat.size, settings);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof LimitError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ImageDecodeError(
      `decodeImage: ${path} is a readable file, got ${reason}. Check the path and its rights.`,
      { cause: error },
    );
  }
};

/** Pillow's `cmyk2rgb`: 255 - K, less C, M or Y of that, in its rounding. [n, 4] to [n, 3]. */
const cmykToRgb = (data: Uint8Array): Uint8Array => {
  const result = new Uint8Array((data.length / 4) * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    const white = 255 - data[from + 3];
    for (let ink = 0; ink < 3; ink++) {
      const product = data[from + ink] * white + 128;
      result[to++] = white - (((product >> 8) + product) >> 8);
    }
  }
  return result;
};

/** 16-bit grey levels to RGB, cut at 255 as Pillow does, or their high byte. */
const grey16ToRgb = (data: Uint8Array, mode: DecodeSettings["grey16"]): Uint8Array => {
  const levels = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2);
  const result = new Uint8Array(levels.length * 3);
  levels.forEach((level, pixel) => {
    const byte = mode === "scaled" ? level >> 8 : Math.min(level, 255);
    result.fill(byte, pixel * 3, pixel * 3 + 3);
  });
  return result;
};

const readRaw = async (pipeline: Sharp) => {
  const { data, info } = await pipeline.toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, channels: info.channels, data };
};

const decodePixels = async (
  file: Uint8Array,
  name: string,
  metadata: Metadata,
  settings: DecodeSettings,
): Promise<RgbImage> => {
  const { format, depth = "", space = "" } = metadata;
  const isEightOrSixteenBits = depth === "uchar" || depth === "ushort";
  if (!isEightOrSixteenBits || !["srgb", "b-w", "rgb16", "grey16", "cmyk"].includes(space)) {
    throw new ImageDecodeError(
      `decodeImage: samples are grey, RGB or CMYK of up to 16 bits, got ${space} ${depth} in ` +
        `${name}. Convert it to an 8-bit PNG.`,
    );
  }
  const gif = format === "gif" ? clearGifTransparency(file) : undefined;
  const input = sharp(gif?.bytes ?? file, {
    ignoreIcc: true,
    failOn: "error",
    limitInputPixels: Math.min(settings.maxPixels, Number.MAX_SAFE_INTEGER),
  });
  const oriented = settings.orientation === "upright" ? input.autoOrient() : input;
  if (space === "cmyk") {
    const cmyk = oriented.pipelineColourspace("cmyk").toColourspace("cmyk").removeAlpha();
    const { width, height, data } = await readRaw(cmyk.raw());
    return { width, height, data: cmykToRgb(data) };
  }
  // PNG colour type 0 is grey without alpha channel, even where a transparent level makes two of it.
  const isPlainGrey = format === "png" ? file[25] === 0 : metadata.channels === 1;
  if (space === "grey16" && isPlainGrey) {
    const grey = oriented.pipelineColourspace("grey16").toColourspace("grey16").removeAlpha();
    const { width, height, data } = await readRaw(grey.raw({ depth: "ushort" }));
    return { width, height, data: grey16ToRgb(data, settings.grey16) };
  }
  const { width, height, data } = await readRaw(
    oriented.toColourspace("srgb").removeAlpha().raw({ depth: "uchar" }),
  );
  const image = { width, height, data: new Uint8Array(data.buffer, data.byteOffset, data.length) };
  return gif ? fillAroundFrame(image, gif) : image;
};

/**
 * Decodes an image file (JPEG, PNG, WebP, GIF, TIFF, AVIF; its first page) from a path or from bytes
 * to RGB [H, W, 3], like Pillow's `Image.open(...).convert("RGB")`: alpha is dropped, not blended;
 * grey is replicated, palettes are expanded, CMYK is converted plainly and colour profiles are ignored.
 *
 * Equal to Pillow to the bit for JPEG, PNG, WebP, GIF and TIFF as far as tested; other versions of
 * the lossy codecs may differ by a level or two.
 *
 * Throws LimitError above `maxBytes` or `maxPixels` (before decoding), ImageDecodeError for a file
 * that cannot be read, OptionsError for a limit that is not above 0.
 */
export const decodeImage = async (
  source: string | Uint8Array,
  options?: DecodeOptions,
): Promise<RgbImage> => {
  const settings = parseDecodeOptions(options);
  const name = typeof source === "string" ? source : "image";
  const file = typeof source === "string" ? await readFile(source, settings) : source;
  checkFileSize(name, file.length, settings);
  const header = parseImageHeader(file, name);
  checkPixels(name, header, settings);
  if (header.format === "bmp") {
    throw new ImageDecodeError(
      `decodeImage: ${name} is a JPEG, PNG, WebP, GIF, TIFF or AVIF file, got BMP. Convert it to PNG.`,
    );
  }
  try {
    const metadata = await sharp(file, { limitInputPixels: false }).metadata();
    checkPixels(name, metadata, settings);
    return await decodePixels(file, name, metadata, settings);
  } catch (error) {
    if (error instanceof ImageDecodeError || error instanceof LimitError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new ImageDecodeError(
      `decodeImage: ${name} is a complete ${header.format} file, got ${reason}. Fetch it again.`,
      { cause: error },
    );
  }
};
