import { llamaCacheShape } from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { elementCount } from "../tensor-data.js";

const float32Bytes = 4;

/** Bytes of keys and values that one token takes in all layers, as the decoder's cache lays them out. */
export const kvBytesPerToken = (language: LlamaConfig): number =>
  2 * language.numLayers * elementCount(llamaCacheShape(language, 1, 1).map(Number)) * float32Bytes;
