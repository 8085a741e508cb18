/** How much memory a process takes for a request, beyond that of the runtime itself. */
import { type DimBindings, evaluateDim, type Graph, type Operation } from "../graph/index.js";
import type { GraphRun } from "../systems/run-plan.js";
import { estimateActivationBytes } from "./activation-bytes.js";

/** Operators whose kernel keeps the scores of all heads while it works. */
const withScores: ReadonlySet<string> = new Set(["attention", "cached-attention"]);
const float32Bytes = 4;

/** Bytes of the largest matrix of attention scores; a soft-max is one operation per score. */
const scoreBytes = (operations: readonly Operation[], bindings: DimBindings): number =>
  float32Bytes *
  operations
    .filter(({ operator }) => withScores.has(operator.name))
    .map((operation) => evaluateDim(operation.operator.cost(operation).elementwise ?? 0, bindings))
    .reduce((most, scores) => Math.max(most, scores), 0);

/**
 * Memory is taken in blocks that double, and free pieces of different blocks cannot be joined; the
 * factor is the training planner's (`train/stage-plan.ts`), and fits inference as well.
 */
const arenaFactor = 1.4;

/** Bytes that the values of one run take: what lives at once, and the kernels' scores. */
export const estimateRunBytes = (graph: Graph, bindings: DimBindings): number =>
  estimateActivationBytes(graph, bindings) + scoreBytes(graph.operations, bindings);

/**
 * Peak growth of a process's memory on the processor: weights and caches as they lie, and for every
 * graph the most that one of its runs takes, because a session keeps its memory for the next run. Not
 * counted: what the caller holds, such as features of images kept for further questions.
 */
export const estimatePeakBytes = (
  runs: readonly Pick<GraphRun, "graph" | "bindings">[],
  heldBytes: number,
): number => {
  const largest = new Map<Graph, number>();
  for (const { graph, bindings } of runs) {
    const bytes = estimateRunBytes(graph, bindings);
    largest.set(graph, Math.max(bytes, largest.get(graph) ?? 0));
  }
  return heldBytes + arenaFactor * [...largest.values()].reduce((sum, bytes) => sum + bytes, 0);
};
