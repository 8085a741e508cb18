import {
  createGraph,
  dim,
  type Graph,
  input,
  reshape,
  slice,
  subtractDims,
  type Tensor,
} from "../graph/index.js";
import {
  embedTokens,
  type LlamaParams,
  languageHead,
  llama,
  llamaCacheShape,
  llamaRopeTables,
} from "./llama.js";
import type { LlamaConfig } from "./llama-config.js";

/** Names of the graph's cache inputs and outputs of one layer. */
export const cacheNames = (layer: number) => ({
  key: { past: `past.${layer}.key`, rows: `rows.${layer}.key` },
  value: { past: `past.${layer}.value`, rows: `rows.${layer}.value` },
});

/** The decoder with its cache as a graph: embeddings in, scores of each sequence's last token out. */
export const decoderGraph = (
  params: LlamaParams,
  config: LlamaConfig,
  contextLength: number,
): Graph => {
  const embeddings = input("embeddings", "float32", ["B", "T", config.width]);
  const caches = params.layers.map((_, layer) => {
    const names = cacheNames(layer);
    const shape = llamaCacheShape(config, dim("B"), dim("S"));
    return {
      key: input(names.key.past, "float32", shape),
      value: input(names.value.past, "float32", shape),
    };
  });
  const { hidden, newRows } = llama(
    params,
    embeddings,
    {
      kind: "cached",
      positions: input("positions", "int64", ["B", "T"]),
      tables: llamaRopeTables(config, contextLength),
      caches,
      lastIndex: input("lastIndex", "int32", ["B"]),
      totalLength: input("totalLength", "int32", [1]),
    },
    config,
  );
  const [batch, length, width] = hidden.shape;
  const last = reshape(slice(hidden, 1, subtractDims(length, 1), length), [batch, width]);
  const outputs: Record<string, Tensor> = { scores: languageHead(params, last) };
  newRows.forEach(({ key, value }, layer) => {
    outputs[cacheNames(layer).key.rows] = key;
    outputs[cacheNames(layer).value.rows] = value;
  });
  return createGraph("decoder", outputs);
};

/** Token embeddings as a graph: ids [B, T] int64 → [B, T, D]. */
export const embeddingGraph = (params: LlamaParams): Graph => {
  const ids = input("ids", "int64", ["B", "T"]);
  return createGraph("embed-tokens", { embeddings: embedTokens(params, ids) });
};
