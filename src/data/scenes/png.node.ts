import sharp from "sharp";
import type { RgbImage } from "../../image/image.js";

/** PNG bytes of an image [H, W, 3]; equal images give equal bytes. */
export const encodePng = async ({ data, width, height }: RgbImage): Promise<Uint8Array> =>
  sharp(data, { raw: { width, height, channels: 3 } })
    .png({ compressionLevel: 6, adaptiveFiltering: false })
    .toBuffer();
