import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ModelConfigError, ModelNotFoundError } from "../errors.js";
import { createNodeEngine, type NodeEngineOptions } from "../graph/engine.node.js";
import type { Engine } from "../graph/index.js";
import { decodeImage } from "../image/decode.node.js";
import { producePreprocessed } from "../image/preprocess-recorded.js";
import { isSliceGeometry, produceSliced } from "../image/slices-recorded.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import type { TensorData } from "../tensor-data.js";
import { openModelFolder } from "../weights/model-folder.node.js";
import { openSafetensors, readTensor } from "../weights/safetensors-file.node.js";
import { noRecordedFile, recordedFileName, verifyRecordedFolder } from "./recorded-folder.js";
import { verifySlicing } from "./slice-plans.js";
import { verifyTokenCounts } from "./token-counts.js";
import { compareRecorded, type VerifyResult } from "./verify.js";

export type VerifyOptions = NodeEngineOptions & {
  /** Largest accepted difference, relative to each tensor's largest value. */
  readonly tolerance?: number;
};

/** Pixel values are compared more strictly: they follow from 8-bit pixels by two roundings. */
const pixelTolerance = 1e-5;

/** All tensors of a file. */
const readTensors = async (path: string): Promise<Map<string, TensorData>> => {
  const file = await openSafetensors(path);
  const tensors = new Map<string, TensorData>();
  for (const [name, entry] of file.tensors) tensors.set(name, await readTensor(path, entry));
  return tensors;
};

/** The recorded tensors of a folder. Throws `ModelNotFoundError` where it has none. */
export const readRecorded = async (folder: string): Promise<Map<string, TensorData>> => {
  const path = join(folder, recordedFileName);
  return readTensors(path).catch((cause: unknown) => {
    if ((cause as { code?: string }).code !== "ENOENT" && !(cause instanceof ModelNotFoundError))
      throw cause;
    throw noRecordedFile(folder, cause);
  });
};

const readJson = async (path: string): Promise<unknown> => {
  const text = await readFile(path, "utf8");
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ModelConfigError(
      `verifyFolder: settings must be JSON, got something else in ${path}; write the file again`,
      { cause },
    );
  }
};

/** A folder of images with their recorded preprocessing: `image{i}_*.png`, `geometry.json`. */
const verifyPreprocessing = async (
  folder: string,
  names: readonly string[],
  tolerance?: number,
): Promise<VerifyResult> => {
  const recorded = await readRecorded(folder);
  const images = new Map<number, Awaited<ReturnType<typeof decodeImage>>>();
  for (const name of names) {
    const index = /^image(\d+).*\.(png|jpe?g|webp|gif|tiff?|avif)$/i.exec(name)?.[1];
    if (index !== undefined) images.set(Number(index), await decodeImage(join(folder, name)));
  }
  const settings = {
    geometry: names.includes("geometry.json")
      ? await readJson(join(folder, "geometry.json"))
      : undefined,
    preprocessorConfig: names.includes("preprocessor_config.json")
      ? await readJson(join(folder, "preprocessor_config.json"))
      : undefined,
  };
  const tensors = isSliceGeometry(settings.geometry)
    ? produceSliced(images, [...recorded.keys()], settings.geometry)
    : producePreprocessed(images, [...recorded.keys()], settings);
  const tolerances = new Map(
    [...recorded.keys()].map((name) => [name, tolerance ?? pixelTolerance]),
  );
  return compareRecorded(recorded, { tensors, inputs: new Set(), tolerances });
};

/** A folder of recorded slice plans: `slices.json`, `position_buckets.json`. */
const verifySlicePlans = async (
  folder: string,
  names: readonly string[],
): Promise<VerifyResult> => {
  const buckets = "position_buckets.json";
  return verifySlicing({
    slices: await readJson(join(folder, "slices.json")),
    ...(names.includes(buckets) && { buckets: await readJson(join(folder, buckets)) }),
  });
};

/**
 * Verifies a folder: a model with recorded inputs and outputs, images with their recorded
 * preprocessing, recorded slice plans or token counts. Throws typed errors for folders that are none of these.
 */
export const verifyFolder = async (
  folder: string,
  { tolerance, ...engineOptions }: VerifyOptions = {},
): Promise<VerifyResult> => {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new ModelNotFoundError(`verifyFolder: no such folder: ${folder}`, { cause });
  });
  if (!names.includes("config.json") && names.some((name) => /^image\d+/.test(name))) {
    return verifyPreprocessing(folder, names, tolerance);
  }
  if (!names.includes("config.json") && names.includes("slices.json")) {
    return verifySlicePlans(folder, names);
  }
  if (!names.includes("config.json") && names.includes("token_counts.json")) {
    return verifyTokenCounts(await readJson(join(folder, "token_counts.json")));
  }
  const model = await openModelFolder(folder, { offline: true });
  const recorded = await readRecorded(folder);
  const found = await locateForEngine(model.tensors);
  const engine: Engine = createNodeEngine(engineOptions);
  try {
    const readFurther = async (name: string) =>
      names.includes(name) ? readTensors(join(folder, name)) : undefined;
    return await verifyRecordedFolder(model, recorded, found, engine, readFurther, tolerance);
  } finally {
    await engine.close();
  }
};
