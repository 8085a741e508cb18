/** What a graph's operations cost under a convention, told apart by the part they belong to. */
import {
  addDims,
  type Dim,
  type DimBindings,
  evaluateDim,
  type Graph,
  multiplyDims,
  type Operation,
  type Tensor,
} from "../graph/index.js";
import type { CostPart } from "../systems/run-plan.js";
import type { CostConvention } from "./convention.js";

/** Parts by the first name of their parameters. */
const partOfParameters: Readonly<Record<string, CostPart>> = {
  vision: "vision",
  projector: "projector",
  imageNewline: "projector",
  merger: "projector",
  resampler: "projector",
  compressor: "compression",
  prefusion: "fusion",
  router: "router",
  language: "prefill",
};

/** Where an operation stands: its part, and whether it needs anything that is fed. */
export type OperationPlace = {
  readonly part: CostPart | undefined;
  readonly isFed: boolean;
  readonly order: number;
};

/**
 * The part and feeding of every operation. An operation belongs to the part of its parameters; one
 * without any, to the part of the latest of the operations that it reads, if any has one.
 */
export const placeOperations = (graph: Graph): ReadonlyMap<Operation, OperationPlace> => {
  const places = new Map<Operation, OperationPlace>();
  const placeOf = ({ source }: Tensor): OperationPlace => {
    const order = -1;
    switch (source.kind) {
      case "input":
        return { part: undefined, isFed: true, order };
      case "constant":
        return { part: undefined, isFed: false, order };
      case "parameter":
        return { part: partOfParameters[source.name.split(".")[0]], isFed: false, order };
      case "operation":
        return places.get(source.operation) as OperationPlace;
    }
  };
  graph.operations.forEach((operation, order) => {
    const read = operation.inputs.map(placeOf);
    const own = read.filter(({ isFed, part }) => !isFed && part !== undefined);
    const [latest] = [...(own.length > 0 ? own : read)]
      .filter(({ part }) => part !== undefined)
      .sort((a, b) => b.order - a.order);
    places.set(operation, { part: latest?.part, isFed: read.some(({ isFed }) => isFed), order });
  });
  return places;
};

/** Operations of one run by part, as expressions over the graph's named sides. */
export type PartOperations = ReadonlyMap<CostPart, Dim>;

/** Prices every operation of `graph` by its operator's own rule; `part` is the one the run is for. */
export const estimatePartOperations = (
  graph: Graph,
  part: CostPart,
  convention: CostConvention,
): PartOperations => {
  const sums = new Map<CostPart, Dim>();
  for (const [operation, place] of placeOperations(graph)) {
    const owner = place.part ?? part;
    const { linear = 0, attention = 0, elementwise = 0 } = operation.operator.cost(operation);
    const billsLinear = place.isFed || convention.folded === "billed";
    const billsAttention =
      place.isFed && (convention.attention === "all" || convention.attention.includes(owner));
    const perElement = place.isFed ? (convention.elementwise?.(operation.operator.name) ?? 0) : 0;
    const price = addDims(
      billsLinear ? multiplyDims(convention.multiplyAdd, linear) : 0,
      billsAttention ? multiplyDims(convention.multiplyAdd, attention) : 0,
      multiplyDims(perElement, elementwise),
    );
    sums.set(owner, addDims(sums.get(owner) ?? 0, price));
  }
  return sums;
};

/** The same with values for the named sides. Throws `GraphError` where one is missing. */
export const evaluateParts = (
  operations: PartOperations,
  bindings: DimBindings,
): Map<CostPart, number> =>
  new Map([...operations].map(([part, price]) => [part, evaluateDim(price, bindings)]));
