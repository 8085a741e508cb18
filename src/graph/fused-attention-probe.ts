import { float32 } from "../tensor-data.js";
import type { Session } from "./engine.js";
import { createGraph, type Graph } from "./graph.js";
import { randomStream } from "./initializers.js";
import type { ParameterSource } from "./onnx/lower-graph.js";
import { attention } from "./operators/attention.js";
import { input } from "./tensor.js";

/** Opens a graph written for an engine whose fused attention is right up to `maxFusedQueries`. */
export type OpenWithLimit = (
  graph: Graph,
  parameters: ParameterSource,
  maxFusedQueries: number,
) => Promise<Session>;

/**
 * Rows this short are computed without the tiled kernel that needs subgroups; measured right on
 * SwiftShader, whose subgroups of 4 the tiled kernel (from 32 queries on) gets wrong.
 */
const shortRows = 16;
const longRow = 40;
const headWidth = 16;

const noParameters: ParameterSource = (name) => {
  throw new Error(`probeFusedQueries: "${name}" does not exist`);
};

/**
 * Computes one attention by the fused kernel and from its parts, and says for how many queries the
 * fused kernel may be used: all, or short rows only.
 */
export const probeFusedQueries = async (open: OpenWithLimit): Promise<number> => {
  const shape = [1, longRow, headWidth];
  const [query, key, value] = ["query", "key", "value"].map((name) =>
    input(name, "float32", shape),
  );
  const mixed = attention(query, key, value, {
    numHeads: 1,
    numKeyValueHeads: 1,
    scale: 1 / Math.sqrt(headWidth),
    causal: true,
  });
  const graph = createGraph("fused-attention-probe", { mixed });
  const random = randomStream(1);
  const draw = () =>
    float32(
      shape,
      Float32Array.from({ length: longRow * headWidth }, () => 2 * random() - 1),
    );
  const feeds = { query: draw(), key: draw(), value: draw() };
  const results: ArrayLike<number | bigint>[] = [];
  for (const limit of [Number.POSITIVE_INFINITY, 0]) {
    const session = await open(graph, noParameters, limit);
    results.push((await session.run(feeds)).mixed.data);
    await session.close();
  }
  const [fused, composed] = results;
  const differs = Array.from(fused).some(
    (element, index) => !(Math.abs(Number(element) - Number(composed[index])) < 1e-3),
  );
  return differs ? shortRows : Number.POSITIVE_INFINITY;
};
