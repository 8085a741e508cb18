import type { RgbImage } from "../image/image.js";

/** `image` turned clockwise by 0, 90, 180 or 270 degrees. */
export const rotateImage = (image: RgbImage, degrees: number): RgbImage => {
  const { width, height, data } = image;
  if (degrees === 0) return image;
  const isTurned = degrees !== 180;
  const outWidth = isTurned ? height : width;
  const outHeight = isTurned ? width : height;
  const result = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const toX = degrees === 90 ? height - 1 - y : degrees === 180 ? width - 1 - x : y;
      const toY = degrees === 90 ? x : degrees === 180 ? height - 1 - y : width - 1 - x;
      const from = (y * width + x) * 3;
      const to = (toY * outWidth + toX) * 3;
      result[to] = data[from];
      result[to + 1] = data[from + 1];
      result[to + 2] = data[from + 2];
    }
  }
  return { width: outWidth, height: outHeight, data: result };
};
