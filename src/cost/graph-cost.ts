/** What a graph costs to run, summed over its operations by each operator's own rule. */
import {
  addDims,
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  namesInShape,
} from "../graph/index.js";

/** Costs of one run, by kind (`Cost` in `graph/operator.ts` says what belongs to which). */
export type GraphCost = {
  /** Multiply-adds of products with a parameter: linear layers, patch embeddings. */
  readonly linear: number;
  /** Multiply-adds of products between activations: attention scores and mixed values. */
  readonly attention: number;
  /** Single operations on elements: norms, activations, soft-max, sums. */
  readonly elementwise: number;
};

const kinds = ["linear", "attention", "elementwise"] as const;

/** The same as expressions over the graph's named sides. */
export const estimateSymbolicCost = (graph: Graph): Readonly<Record<keyof GraphCost, Dim>> => {
  const sums = { linear: 0 as Dim, attention: 0 as Dim, elementwise: 0 as Dim };
  for (const operation of graph.operations) {
    const cost = operation.operator.cost(operation);
    for (const kind of kinds) sums[kind] = addDims(sums[kind], cost[kind] ?? 0);
  }
  return sums;
};

/**
 * What one run of `graph` costs when its named sides have the values of `bindings`. A causal mask
 * saves nothing here: every score is counted. A cached attention is priced at the cache's capacity;
 * bind S to the length that is really attended to.
 *
 * Throws `GraphError` when a side has no value.
 */
export const estimateGraphCost = (graph: Graph, bindings: DimBindings = {}): GraphCost => {
  const { linear, attention, elementwise } = estimateSymbolicCost(graph);
  return {
    linear: evaluateDim(linear, bindings),
    attention: evaluateDim(attention, bindings),
    elementwise: evaluateDim(elementwise, bindings),
  };
};

/** The named sides that a graph's cost depends on: what `estimateGraphCost` needs values for. */
export const sidesInCost = (graph: Graph): Set<string> =>
  namesInShape(Object.values(estimateSymbolicCost(graph)));

/** Costs of several runs together. */
export const addCosts = (...costs: readonly GraphCost[]): GraphCost => {
  const sums = { linear: 0, attention: 0, elementwise: 0 };
  for (const cost of costs) for (const kind of kinds) sums[kind] += cost[kind];
  return sums;
};

/** Floating-point operations of the matrix products; a multiply-add is two. */
export const matrixFlops = ({ linear, attention }: GraphCost): number => 2 * (linear + attention);
