import { layerCacheParts, llamaCacheShape } from "../language/layer-cache.js";
import { countAttentionLayers, type LlamaConfig } from "../language/llama-config.js";
import { type DType, dtypeBytes, elementCount } from "../tensor-data.js";

/**
 * Bytes of keys and values that one token takes in all layers that attend, as the decoder's cache lays them out.
 * The engine keeps float32; published figures are for 16 bits.
 */
export const kvBytesPerToken = (language: LlamaConfig, dtype: DType = "float32"): number =>
  2 *
  countAttentionLayers(language) *
  elementCount(llamaCacheShape(language, 1, 1).map(Number)) *
  dtypeBytes[dtype];

/** Bytes of recurrent states that one sequence takes in all layers, whatever its length. */
export const stateBytesPerSequence = (language: LlamaConfig, dtype: DType = "float32"): number =>
  Array.from({ length: language.numLayers }, (_, layer) => layerCacheParts(language, layer))
    .flat()
    .filter(({ kind }) => kind === "state")
    .reduce((sum, { shape }) => sum + elementCount(shape(1, 1).map(Number)), 0) * dtypeBytes[dtype];
