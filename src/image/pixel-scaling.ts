import type { RgbStatistics } from "./clip-config.js";
import type { RgbImage } from "./image.js";

/** How 8-bit levels become the values that an encoder reads. */
export type PixelScaling = {
  /** Factor on the 8-bit levels; null: levels stay 0 to 255. */
  readonly rescaleFactor: number | null;
  /** Per channel; null: not normalised. */
  readonly normalize: { readonly mean: RgbStatistics; readonly std: RgbStatistics } | null;
};

/** SigLIP's: levels become -1 to 1. */
export const centredScaling: PixelScaling = {
  rescaleFactor: 1 / 255,
  normalize: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
};

/**
 * What each of the 256 levels becomes in each channel, [3, 256]. The reference rounds to float32
 * after rescaling, after subtracting the mean and after dividing, and so does this table.
 */
export const createLevelTable = ({ rescaleFactor, normalize }: PixelScaling): Float32Array => {
  const table = new Float32Array(3 * 256);
  for (let channel = 0; channel < 3; channel++) {
    for (let level = 0; level < 256; level++) {
      let value = Math.fround(rescaleFactor === null ? level : level * rescaleFactor);
      if (normalize) {
        value = Math.fround(value - Math.fround(normalize.mean[channel]));
        value = value / Math.fround(normalize.std[channel]);
      }
      table[channel * 256 + level] = value;
    }
  }
  return table;
};

/** Writes `image` [H, W, 3] as [3, H, W] into `target` from `offset` on, by a table [3, 256]. */
export const writePixelValues = (
  image: RgbImage,
  table: Float32Array,
  target: Float32Array,
  offset: number,
): void => {
  const numPixels = image.width * image.height;
  for (let pixel = 0; pixel < numPixels; pixel++) {
    for (let channel = 0; channel < 3; channel++) {
      const level = image.data[pixel * 3 + channel];
      target[offset + channel * numPixels + pixel] = table[channel * 256 + level];
    }
  }
};
