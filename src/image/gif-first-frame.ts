import { createImage, cropImage, pasteImage, type Rect, type Rgb, type RgbImage } from "./image.js";

/** A GIF of which the first frame is opaque, where that frame lies, and the colour around it. */
export type OpaqueGif = {
  readonly bytes: Uint8Array;
  readonly frame: Rect;
  readonly outside: Rgb;
};

const colourTableBytes = (flags: number): number => (flags & 0x80 ? 3 << ((flags & 7) + 1) : 0);

/**
 * Takes the transparency out of the first frame of a GIF: decoders make transparent pixels black
 * and lose their palette colour, Pillow's `convert("RGB")` shows it. Around a frame smaller than the
 * image, Pillow shows the transparent colour if there is one, else the first of the palette.
 *
 * Bytes that are cut off are kept as they are: reporting that is the decoder's part.
 */
export const clearGifTransparency = (file: Uint8Array): OpaqueGif => {
  const bytes = file.slice();
  let colourIndex = 0;
  let offset = 13 + colourTableBytes(bytes[10]);
  while (bytes[offset] === 0x21) {
    if (bytes[offset + 1] === 0xf9 && bytes[offset + 3] & 1) {
      bytes[offset + 3] &= 0xfe;
      colourIndex = bytes[offset + 6];
    }
    offset += 2;
    while (bytes[offset] > 0) offset += bytes[offset] + 1;
    offset += 1;
  }
  const read = (at: number) => (bytes[at] ?? 0) + (bytes[at + 1] ?? 0) * 256;
  const [left, top, width, height] = [1, 3, 5, 7].map((field) => read(offset + field));
  const palette = bytes[offset + 9] & 0x80 ? offset + 10 : 13;
  const [red = 0, green = 0, blue = 0] = bytes.subarray(palette + colourIndex * 3);
  return { bytes, frame: { left, top, width, height }, outside: [red, green, blue] };
};

/** `decoded` with `gif.outside` around the frame, where decoders leave black. */
export const fillAroundFrame = (decoded: RgbImage, { frame, outside }: OpaqueGif): RgbImage => {
  const { left, top } = frame;
  const width = Math.min(frame.width, decoded.width - left);
  const height = Math.min(frame.height, decoded.height - top);
  if (width === decoded.width && height === decoded.height) return decoded;
  if (width <= 0 || height <= 0) return createImage(decoded, outside);
  const inside = cropImage(decoded, { left, top, width, height });
  return pasteImage(inside, { left, top, width: decoded.width, height: decoded.height }, outside);
};
