/** Tiny LLaVA-like systems in training, and batches of random tokens and pixels for them. */

import type { ParameterSource } from "../../src/graph/index.js";
import { initParameter, inMemoryParameters, randomStream } from "../../src/graph/index.js";
import { listParameters } from "../../src/nn/parameter-scope.js";
import type { LabelledBatch } from "../../src/systems/labelled-batch.js";
import type { LlavaConfig } from "../../src/systems/llava-config.js";
import { parseSystem } from "../../src/systems/system.js";
import { elementCount, float32, type TensorData } from "../../src/tensor-data.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { type TinyModelName, tinyModels, tower, viewPx } from "./tiny-models.js";

export type TinyTraining = {
  readonly config: LlavaConfig;
  readonly values: ReadonlyMap<string, TensorData<"float32">>;
  readonly frozen: ParameterSource;
  /** Every parameter that a batch with images depends on. */
  readonly names: readonly string[];
};

export const tinyTraining = (name: TinyModelName): TinyTraining => {
  const system = parseSystem(tinyModels[name].config, tower);
  if (system.config.system === "llava-uhd") throw new Error("tinyTraining: a LLaVA is needed");
  const values = new Map<string, TensorData<"float32">>();
  for (const [parameter, { source, shape }] of listParameters(system.params)) {
    if (source.kind !== "parameter") continue;
    const sides = shape.map(Number);
    const first = initParameter(source.initializer, parameter, elementCount(sides), 1);
    values.set(parameter, float32(sides, first));
  }
  // The tower is read at its last layer but one, and never normed at its end.
  const unused = /^vision\.(?:postNorm|layers\.2)\.|^compressor\.positions$/;
  return {
    config: system.config,
    values,
    frozen: inMemoryParameters(values),
    names: [...values.keys()].filter((parameter) => !unused.test(parameter)),
  };
};

/** `numSamples` rows of `length` places; those before the middle are not supervised. */
export const tinyBatch = (
  numSamples: number,
  length: number,
  { hasImages = true, seed = 1 } = {},
): LabelledBatch => {
  const random = randomStream(seed);
  const draw = (): number => 1 + Math.floor(random() * 300);
  const rows = Array.from({ length: numSamples }, () => Array.from({ length }, draw));
  const pixelCount = numSamples * 3 * viewPx * viewPx;
  return {
    ids: rows.map((row) => (hasImages ? row.with(1, imagePlaceholderId) : row)),
    // Not equally many in each row.
    labels: rows.map((row, sample) =>
      row.map((id, place) => (place < length / 2 + (sample % 3) ? -100 : id)),
    ),
    isPadding: rows.map((row) => row.map(() => false)),
    ...(hasImages && {
      pixels: float32(
        [numSamples, 1, 3, viewPx, viewPx],
        Float32Array.from({ length: pixelCount }, () => 2 * random() - 1),
      ),
    }),
  };
};

/** Samples `start` to `end` of a batch. */
export const samplesOf = (batch: LabelledBatch, start: number, end: number): LabelledBatch => {
  const { ids, labels, isPadding, pixels } = batch;
  const perSample = pixels === undefined ? 0 : pixels.data.length / ids.length;
  return {
    ids: ids.slice(start, end),
    labels: labels.slice(start, end),
    isPadding: isPadding.slice(start, end),
    ...(pixels && {
      pixels: float32(
        [end - start, ...pixels.shape.slice(1)],
        pixels.data.slice(start * perSample, end * perSample),
      ),
    }),
  };
};
