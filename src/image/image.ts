import { LimitError, OptionsError } from "../errors.js";

/** An 8-bit RGB image: `data` is [H, W, 3], row-major. The only image type of saccade. */
export type RgbImage = {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
};

/** Width and height in pixels. */
export type Size = { readonly width: number; readonly height: number };

/** A rectangle of pixels; `left` and `top` may be negative where a function says so. */
export type Rect = Size & { readonly left: number; readonly top: number };

/** Red, green and blue, 0 to 255. */
export type Rgb = readonly [number, number, number];

export const black: Rgb = [0, 0, 0];

/**
 * Checks that `size` has whole sides of at least one pixel.
 * Throws OptionsError otherwise.
 */
export const checkSize = (where: string, { width, height }: Size): void => {
  if (Number.isSafeInteger(width) && Number.isSafeInteger(height) && width > 0 && height > 0)
    return;
  throw new OptionsError(
    `${where}: sides are whole numbers of at least 1 pixel, got ${width}x${height}. ` +
      "Pass an image with at least one pixel.",
  );
};

/** Largest image that is made or read unless an option allows more: Pillow's limit, 2 GiB / 4 / 3. */
export const defaultMaxPixels = 178_956_970;

/**
 * Checks that an image of `size` may be made: padding a 1x60000 image to a square must not take
 * gigabytes. Throws OptionsError for sides below one pixel, LimitError above `maxPixels`.
 */
export const checkArea = (where: string, size: Size, maxPixels = defaultMaxPixels): void => {
  checkSize(where, size);
  if (size.width * size.height <= maxPixels) return;
  throw new LimitError(
    `${where}: an image has at most ${maxPixels} pixels, got ${size.width}x${size.height} = ` +
      `${size.width * size.height}. Shrink or cut the image, or raise maxPixels where it is an option.`,
  );
};

/** Checks the sides and that `data` holds width * height * 3 bytes. Throws OptionsError otherwise. */
export const checkImage = (where: string, image: RgbImage): void => {
  checkSize(where, image);
  const numBytes = image.width * image.height * 3;
  if (image.data.length === numBytes) return;
  throw new OptionsError(
    `${where}: a ${image.width}x${image.height} RGB image has ${numBytes} bytes, got ` +
      `${image.data.length}. Pass rows of red, green, blue without alpha and without padding.`,
  );
};

/** An image of one colour. Throws OptionsError for sides below one pixel, LimitError if too large. */
export const createImage = (size: Size, colour: Rgb = black): RgbImage => {
  checkArea("createImage", size);
  const data = new Uint8Array(size.width * size.height * 3);
  if (colour.some((level) => level !== 0)) {
    for (let offset = 0; offset < data.length; offset += 3) data.set(colour, offset);
  }
  return { width: size.width, height: size.height, data };
};

/** Cuts `rect` [h, w] out of `image`. Throws OptionsError if it does not lie inside. */
export const cropImage = (image: RgbImage, rect: Rect): RgbImage => {
  checkImage("cropImage", image);
  checkSize("cropImage", rect);
  const { left, top, width, height } = rect;
  if (
    !(Number.isInteger(left) && Number.isInteger(top) && left >= 0 && top >= 0) ||
    left + width > image.width ||
    top + height > image.height
  ) {
    throw new OptionsError(
      `cropImage: the rectangle lies inside the ${image.width}x${image.height} image, got ` +
        `${width}x${height} at (${left}, ${top}). Use pasteImage to go over the edge.`,
    );
  }
  if (width === image.width) {
    const data = image.data.slice(top * width * 3, (top + height) * width * 3);
    return { width, height, data };
  }
  return pasteImage(image, { left: -left, top: -top, width, height });
};

/**
 * A canvas of `canvas.width` x `canvas.height` in `colour` with `image` at (`canvas.left`,
 * `canvas.top`); what lies outside the canvas is cut off, so negative offsets crop.
 * Throws OptionsError for a canvas without pixels or offsets that are no whole numbers.
 */
export const pasteImage = (image: RgbImage, canvas: Rect, colour: Rgb = black): RgbImage => {
  checkImage("pasteImage", image);
  if (!Number.isSafeInteger(canvas.left) || !Number.isSafeInteger(canvas.top)) {
    throw new OptionsError(
      `pasteImage: offsets are whole pixels, got (${canvas.left}, ${canvas.top}). Round them first.`,
    );
  }
  const result = createImage(canvas, colour);
  const fromX = Math.max(0, -canvas.left);
  const toX = Math.min(image.width, canvas.width - canvas.left);
  const fromY = Math.max(0, -canvas.top);
  const toY = Math.min(image.height, canvas.height - canvas.top);
  if (fromX >= toX) return result;
  for (let y = fromY; y < toY; y++) {
    const row = y * image.width;
    const target = (y + canvas.top) * canvas.width + canvas.left;
    result.data.set(image.data.subarray((row + fromX) * 3, (row + toX) * 3), (target + fromX) * 3);
  }
  return result;
};
