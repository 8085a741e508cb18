import { ImageDecodeError } from "../errors.js";
import type { ImageFormat } from "./image-header.js";

const exifStart = [0x45, 0x78, 0x69, 0x66, 0, 0];

/**
 * Hides the EXIF data of a JPEG, because browsers turn every image by it and cannot be told not to.
 * Other formats are returned as they are if they hold none.
 *
 * Throws ImageDecodeError for another format that holds EXIF data.
 */
export const hideExif = (file: Uint8Array, format: ImageFormat): Uint8Array => {
  if (format !== "jpeg") {
    const text = new TextDecoder("latin1").decode(file);
    if (!/eXIf|EXIF|Exif/.test(text)) return file;
    throw new ImageDecodeError(
      `hideExif: browsers always turn a ${format} by its EXIF data, got one that has some. ` +
        "Set orientation to upright, or remove the EXIF data.",
    );
  }
  const bytes = file.slice();
  let offset = 2;
  while (offset + 10 < bytes.length && bytes[offset] === 0xff && bytes[offset + 1] !== 0xda) {
    const isExif =
      bytes[offset + 1] === 0xe1 && exifStart.every((byte, i) => bytes[offset + 4 + i] === byte);
    if (isExif) bytes[offset + 4] = 0;
    offset += 2 + bytes[offset + 2] * 256 + bytes[offset + 3];
  }
  return bytes;
};
