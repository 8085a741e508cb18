import { OptionsError } from "../errors.js";
import { checkArea, checkImage, checkSize, type Rect, type RgbImage, type Size } from "./image.js";
import { fractionBits, planTaps, type ResizeTaps } from "./resize-taps.js";

const half = 1 << (fractionBits - 1);

// Sums stay inside 32 bits: the absolute weights of an output add up to less than 1.5 * 2^22, times
// 255 is below 2^31. So `Math.imul` and `| 0` are exact, and much faster than float64.

/** Rows of `image` from `top` on, [height, W, 3] to [height, outputs, 3]. */
const resizeRows = (
  { data, width }: RgbImage,
  { starts, counts, weights, stride }: ResizeTaps,
  top: number,
  height: number,
): Uint8Array => {
  const outWidth = starts.length;
  // Stores clamp to 0..255, as Pillow's `clip8`.
  const result = new Uint8ClampedArray(outWidth * height * 3);
  for (let y = 0; y < height; y++) {
    const row = (top + y) * width * 3;
    let target = y * outWidth * 3;
    for (let x = 0; x < outWidth; x++) {
      const numTaps = counts[x];
      let source = row + starts[x] * 3;
      let red = half;
      let green = half;
      let blue = half;
      for (let tap = x * stride; tap < x * stride + numTaps; tap++) {
        const weight = weights[tap];
        red = (red + Math.imul(weight, data[source])) | 0;
        green = (green + Math.imul(weight, data[source + 1])) | 0;
        blue = (blue + Math.imul(weight, data[source + 2])) | 0;
        source += 3;
      }
      result[target++] = red >> fractionBits;
      result[target++] = green >> fractionBits;
      result[target++] = blue >> fractionBits;
    }
  }
  return new Uint8Array(result.buffer);
};

/** Columns: rows of `rowBytes` bytes, of which the first is source row `firstRow`, to [outputs, rowBytes]. */
const resizeColumns = (
  data: Uint8Array,
  rowBytes: number,
  firstRow: number,
  { starts, counts, weights, stride }: ResizeTaps,
): Uint8Array => {
  const result = new Uint8ClampedArray(starts.length * rowBytes);
  const sums = new Int32Array(rowBytes);
  for (let y = 0; y < starts.length; y++) {
    sums.fill(half);
    const numTaps = counts[y];
    for (let tap = 0; tap < numTaps; tap++) {
      const weight = weights[y * stride + tap];
      const source = (starts[y] - firstRow + tap) * rowBytes;
      for (let x = 0; x < rowBytes; x++) {
        sums[x] = (sums[x] + Math.imul(weight, data[source + x])) | 0;
      }
    }
    for (let x = 0; x < rowBytes; x++) result[y * rowBytes + x] = sums[x] >> fractionBits;
  }
  return new Uint8Array(result.buffer);
};

const checkWindow = (where: string, size: Size, window: Rect): void => {
  checkSize(where, size);
  checkSize(where, window);
  const { left, top, width, height } = window;
  if (left < 0 || top < 0 || left + width > size.width || top + height > size.height) {
    throw new OptionsError(
      `${where}: the window lies inside the ${size.width}x${size.height} result, got ` +
        `${width}x${height} at (${left}, ${top}). Cut it to the result.`,
    );
  }
};

/**
 * `image` [H, W, 3] resized to `size` with Pillow's antialiased bicubic filter, exact to the bit:
 * horizontal pass, then vertical pass, each rounded to 8 bits and left out where the side stays.
 *
 * `window` computes only that part of the result: equal to cropping afterwards, but a 1x5000 image
 * enlarged to 336x1680000 and cropped to 336x336 then needs no gigabytes.
 *
 * Throws OptionsError for sides below one pixel or a window outside the result, LimitError for a
 * window above `defaultMaxPixels`.
 */
export const resizeBicubic = (
  image: RgbImage,
  size: Size,
  window: Rect = { left: 0, top: 0, width: size.width, height: size.height },
): RgbImage => {
  checkImage("resizeBicubic", image);
  checkWindow("resizeBicubic", size, window);
  checkArea("resizeBicubic", window);
  const { left, top, width, height } = window;
  const columns = planTaps(image.height, size.height, top, height);
  const changesHeight = image.height !== size.height;
  const last = height - 1;
  const firstRow = changesHeight ? columns.starts[0] : top;
  const numRows = changesHeight ? columns.starts[last] + columns.counts[last] - firstRow : height;
  let rows: Uint8Array;
  if (image.width !== size.width) {
    rows = resizeRows(image, planTaps(image.width, size.width, left, width), firstRow, numRows);
  } else {
    rows = new Uint8Array(numRows * width * 3);
    for (let y = 0; y < numRows; y++) {
      const source = ((firstRow + y) * image.width + left) * 3;
      rows.set(image.data.subarray(source, source + width * 3), y * width * 3);
    }
  }
  const data = changesHeight ? resizeColumns(rows, width * 3, firstRow, columns) : rows;
  return { width, height, data };
};

/** Source index of each output, as PyTorch's `interpolate(mode="nearest")`: floor(i * scale) in float32. */
const nearestIndices = (inSize: number, outSize: number): Int32Array => {
  const scale = Math.fround(inSize / outSize);
  return Int32Array.from({ length: outSize }, (_, i) =>
    Math.min(inSize - 1, Math.floor(Math.fround(i * scale))),
  );
};

/**
 * `image` [H, W, 3] resized to `size` by taking the pixel at floor(i * in / out), without
 * antialiasing: PyTorch's `interpolate` with mode `nearest` (not `nearest-exact`, and not Pillow's
 * NEAREST, which both look from pixel centres). LLaVA-Mini resizes video frames so.
 * Throws OptionsError for sides below one pixel, LimitError above `defaultMaxPixels`.
 */
export const resizeNearest = (image: RgbImage, size: Size): RgbImage => {
  checkImage("resizeNearest", image);
  checkArea("resizeNearest", size);
  const { width, height } = size;
  const columns = nearestIndices(image.width, width);
  const rows = nearestIndices(image.height, height);
  const data = new Uint8Array(width * height * 3);
  let target = 0;
  for (let y = 0; y < height; y++) {
    const row = rows[y] * image.width;
    for (let x = 0; x < width; x++) {
      const source = (row + columns[x]) * 3;
      data[target++] = image.data[source];
      data[target++] = image.data[source + 1];
      data[target++] = image.data[source + 2];
    }
  }
  return { width, height, data };
};
