import { llamaCacheShape } from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { type DType, dtypeBytes, elementCount } from "../tensor-data.js";

/**
 * Bytes of keys and values that one token takes in all layers, as the decoder's cache lays them out.
 * The engine keeps float32; published figures are for 16 bits.
 */
export const kvBytesPerToken = (language: LlamaConfig, dtype: DType = "float32"): number =>
  2 *
  language.numLayers *
  elementCount(llamaCacheShape(language, 1, 1).map(Number)) *
  dtypeBytes[dtype];
