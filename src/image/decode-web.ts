import { ImageDecodeError } from "../errors.js";
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
import { hideExif } from "./stored-orientation.js";

const dropAlpha = (rgba: Uint8Array | Uint8ClampedArray): Uint8Array => {
  const result = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    result[to++] = rgba[from];
    result[to++] = rgba[from + 1];
    result[to++] = rgba[from + 2];
  }
  return result;
};

/** 2-D canvases hold colours multiplied by alpha: exact for opaque pixels only. [H, W, 4]. */
const readCanvas = (bitmap: ImageBitmap, name: string): Uint8ClampedArray => {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) {
    throw new ImageDecodeError(
      `decodeImage: ${bitmap.width}x${bitmap.height} pixels of ${name} fit into a canvas, got none. ` +
        "Shrink the image.",
    );
  }
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
};

/** Colours under transparency, through a texture, which is not multiplied. [H, W, 4]. */
const readTexture = (bitmap: ImageBitmap, name: string): Uint8Array => {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  const maxSide: number = gl ? gl.getParameter(gl.MAX_TEXTURE_SIZE) : 0;
  if (!gl || width > maxSide || height > maxSide) {
    throw new ImageDecodeError(
      `decodeImage: colours below transparency need WebGL 2 with textures of ${width}x${height}, got ` +
        `${gl ? `at most ${maxSide}` : "no WebGL 2"} for ${name}. Remove the alpha channel first.`,
    );
  }
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_PREMULTIPLY_ALPHA_WEBGL, false);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const attachment = gl.COLOR_ATTACHMENT0;
  gl.framebufferTexture2D(
    gl.FRAMEBUFFER,
    attachment,
    gl.TEXTURE_2D,
    gl.getParameter(gl.TEXTURE_BINDING_2D),
    0,
  );
  const pixels = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
  const code = gl.getError();
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  if (code === gl.NO_ERROR) return pixels;
  throw new ImageDecodeError(
    `decodeImage: WebGL reads ${name} back, got error ${code}. Remove the alpha channel first.`,
  );
};

const readBytes = async (source: Blob | Uint8Array, settings: DecodeSettings) => {
  if (source instanceof Uint8Array) return source;
  checkFileSize("image", source.size, settings);
  return new Uint8Array(await source.arrayBuffer());
};

/**
 * Decodes an image file in a browser (JPEG, PNG, WebP, GIF, AVIF, BMP; its first frame) to RGB
 * [H, W, 3], with the rules of the Node version: alpha dropped and not blended, orientation by EXIF,
 * colour profiles ignored. Two things are the browser's own: `grey16: "compat"` is refused for
 * 16-bit PNG files, because browsers scale them, and CMYK is converted as the browser does.
 *
 * Throws LimitError above `maxBytes` or `maxPixels` (before decoding), ImageDecodeError for a file
 * that cannot be read, OptionsError for a limit that is not above 0.
 */
export const decodeImage = async (
  source: Blob | Uint8Array,
  options?: DecodeOptions,
): Promise<RgbImage> => {
  const settings = parseDecodeOptions(options);
  let file = await readBytes(source, settings);
  checkFileSize("image", file.length, settings);
  const header = parseImageHeader(file);
  const { format } = header;
  checkPixels("image", header, settings);
  if (format === "png" && file[24] === 16 && file[25] === 0 && settings.grey16 === "compat") {
    throw new ImageDecodeError(
      "decodeImage: 16-bit grey is cut at 255 only outside browsers, got a 16-bit grey PNG. " +
        "Set grey16 to scaled, or convert the image to 8 bits.",
    );
  }
  const gif = format === "gif" ? clearGifTransparency(file) : undefined;
  if (gif) file = gif.bytes;
  if (settings.orientation === "stored") file = hideExif(file, format);
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(new Blob([file.slice()]), {
      imageOrientation: "from-image",
      premultiplyAlpha: "none",
      colorSpaceConversion: "none",
    });
  } catch (error) {
    throw new ImageDecodeError(
      `decodeImage: the browser can decode the image, got a ${format} file of ${file.length} bytes ` +
        "that it cannot. Convert it to PNG.",
      { cause: error },
    );
  }
  try {
    const { width, height } = bitmap;
    const drawn = readCanvas(bitmap, "image");
    const isOpaque = drawn.every((level, index) => index % 4 !== 3 || level === 255);
    const data = dropAlpha(isOpaque ? drawn : readTexture(bitmap, "image"));
    return gif ? fillAroundFrame({ width, height, data }, gif) : { width, height, data };
  } finally {
    bitmap.close();
  }
};
