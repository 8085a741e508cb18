import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { decodeImage } from "../../src/image/decode.node.js";
import type { RgbImage } from "../../src/image/image.js";
import type { TensorData } from "../../src/tensor-data.js";
import { parseSafetensors } from "../../src/weights/safetensors.js";

/** The absolute path of a file in test/fixtures. */
export const fixturePath = (path: string): string =>
  fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

export const readJson = (path: string): unknown =>
  JSON.parse(readFileSync(fixturePath(path), "utf8"));

/** The recorded tensors and the images of a preprocessing fixture, images by the i of `image{i}_`. */
export const loadRecorded = async (
  folder: string,
): Promise<{ tensors: Map<string, TensorData>; images: Map<number, RgbImage> }> => {
  const { tensors } = parseSafetensors(readFileSync(fixturePath(`${folder}/io.safetensors`)));
  const images = new Map<number, RgbImage>();
  for (const name of readdirSync(fixturePath(folder))) {
    const index = /^image(\d+)_.*\.png$/.exec(name)?.[1];
    if (index) images.set(Number(index), await decodeImage(fixturePath(`${folder}/${name}`)));
  }
  return { tensors, images };
};
