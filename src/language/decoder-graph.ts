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
import { layerCacheParts } from "./layer-cache.js";
import type { LayerMemory } from "./layer-context.js";
import { embedTokens, type LlamaParams, languageHead, llama, llamaRopeTables } from "./llama.js";
import type { LlamaConfig } from "./llama-config.js";

/** The decoder with its cache as a graph: embeddings in, scores of each sequence's last token out. */
export const decoderGraph = (
  params: LlamaParams,
  config: LlamaConfig,
  contextLength: number,
): Graph => {
  const embeddings = input("embeddings", "float32", ["B", "T", config.width]);
  const caches = params.layers.map((_, layer) => {
    const parts = layerCacheParts(config, layer).map(({ name, past, shape }) => [
      name,
      input(past, "float32", shape(dim("B"), dim("S"))),
    ]);
    return Object.fromEntries(parts) as LayerMemory;
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
  newRows.forEach((rows: Readonly<Record<string, Tensor>>, layer) => {
    for (const { name, next } of layerCacheParts(config, layer)) outputs[next] = rows[name];
  });
  return createGraph("decoder", outputs);
};

/** Token embeddings as a graph: ids [B, T] int64 → [B, T, D]. */
export const embeddingGraph = (params: LlamaParams): Graph => {
  const ids = input("ids", "int64", ["B", "T"]);
  return createGraph("embed-tokens", { embeddings: embedTokens(params, ids) });
};
