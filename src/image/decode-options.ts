import { LimitError, OptionsError } from "../errors.js";
import { checkArea, defaultMaxPixels, type Size } from "./image.js";

export type DecodeOptions = {
  /** Largest image in pixels, checked from the header before decoding. Default: Pillow's 178,956,970. */
  readonly maxPixels?: number;
  /** Largest file in bytes, checked before reading. Default: 256 MiB. */
  readonly maxBytes?: number;
  /**
   * `upright` (default) turns and mirrors as EXIF says; `stored` leaves the pixels as they lie, which
   * is what the released code of LLaVA and its followers does.
   */
  readonly orientation?: "upright" | "stored";
  /**
   * 16-bit grey without alpha: `compat` (default) is Pillow's `convert("RGB")`, where every level
   * above 255 becomes white; `scaled` keeps the high byte, so that the picture can be seen.
   */
  readonly grey16?: "compat" | "scaled";
};

/** Decoding options with every default filled in. */
export type DecodeSettings = Required<DecodeOptions>;

const checkLimit = (name: string, value: number): number => {
  if (value > 0 && !Number.isNaN(value)) return value;
  throw new OptionsError(
    `decodeImage: ${name} is above 0, got ${value}. Leave it out for the default.`,
  );
};

/** Fills in the defaults. Throws OptionsError for a limit that is not above 0. */
export const parseDecodeOptions = (options: DecodeOptions = {}): DecodeSettings => ({
  maxPixels: checkLimit("maxPixels", options.maxPixels ?? defaultMaxPixels),
  maxBytes: checkLimit("maxBytes", options.maxBytes ?? 256 * 2 ** 20),
  orientation: options.orientation ?? "upright",
  grey16: options.grey16 ?? "compat",
});

/** Throws LimitError if a file of `numBytes` is larger than allowed. */
export const checkFileSize = (
  name: string,
  numBytes: number,
  { maxBytes }: DecodeSettings,
): void => {
  if (numBytes <= maxBytes) return;
  throw new LimitError(
    `decodeImage: an image file has at most ${maxBytes} bytes, got ${numBytes} in ${name}. ` +
      "Shrink the image or raise maxBytes.",
  );
};

/** Throws LimitError if an image of `size` is larger than allowed. */
export const checkPixels = (name: string, size: Size, { maxPixels }: DecodeSettings): void =>
  checkArea(`decodeImage(${name})`, size, maxPixels);
