/** What the decoder's layers keep of the tokens before, as memory that a graph is fed and gives anew. */
import { alignedHeadWidth, type Dim } from "../graph/index.js";
import { deltaNetMemoryShapes } from "./gated-delta-net.js";
import { deltaNetOf, type LlamaConfig } from "./llama-config.js";

/** One tensor of a layer's memory. */
export type CachePart = {
  /** Its name within the layer. */
  readonly name: string;
  /** Names of the graph's input with what was kept, and of its output with what is new. */
  readonly past: string;
  readonly next: string;
  /**
   * `tokens`: [B, K, S, E'], a row for each token; the new tokens' rows come out. `state`: [B, ...], of one
   * size whatever the number of tokens; a whole new one comes out.
   */
  readonly kind: "tokens" | "state";
  /** Sides for `batch` sequences of up to `capacity` tokens. */
  shape(batch: Dim, capacity: Dim): readonly Dim[];
};

/** Sides of one layer's key or value cache, [B, K, S, E'], heads filled up to the aligned width. */
export const llamaCacheShape = (config: LlamaConfig, batch: Dim, capacity: Dim): readonly Dim[] => [
  batch,
  config.numKeyValueHeads,
  capacity,
  alignedHeadWidth(config.headWidth),
];

/** What layer `layerIndex` keeps: keys and values, or the state of a recurrence. */
export const layerCacheParts = (config: LlamaConfig, layerIndex: number): readonly CachePart[] => {
  const part = (name: string, kind: CachePart["kind"], shape: CachePart["shape"]): CachePart => ({
    name,
    kind,
    past: `past.${layerIndex}.${name}`,
    next: `rows.${layerIndex}.${name}`,
    shape,
  });
  const recurrence = deltaNetOf(config, layerIndex);
  if (recurrence === undefined) {
    const shape: CachePart["shape"] = (batch, capacity) => llamaCacheShape(config, batch, capacity);
    return [part("key", "tokens", shape), part("value", "tokens", shape)];
  }
  return [
    part("state", "state", (batch) => deltaNetMemoryShapes(recurrence, batch).state),
    part("inputs", "state", (batch) => deltaNetMemoryShapes(recurrence, batch).inputs),
  ];
};
