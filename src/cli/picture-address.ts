import sharp from "sharp";
import { defaultMaxPixels, type RgbImage } from "../image/image.js";

/** Long side of a picture that is put into a drawing, in pixels. */
const pictureSidePx = 1200;

/** A smaller JPEG of an image as a data address: enough for a drawing. */
export const toDataAddress = async ({ data, width, height }: RgbImage): Promise<string> => {
  const raw = { width, height, channels: 3 as const };
  const jpeg = await sharp(data, { raw, limitInputPixels: defaultMaxPixels })
    .resize(pictureSidePx, pictureSidePx, { fit: "inside", withoutEnlargement: true })
    .jpeg({ quality: 85 })
    .toBuffer();
  return `data:image/jpeg;base64,${jpeg.toString("base64")}`;
};
