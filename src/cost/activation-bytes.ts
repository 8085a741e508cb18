/** How much memory the values between a graph's inputs and outputs take while it runs. */
import {
  type DimBindings,
  evaluateShape,
  type Graph,
  type Operation,
  type Tensor,
} from "../graph/index.js";
import { dtypeBytes, elementCount } from "../tensor-data.js";

/** Operators whose output is their input's memory under another shape. */
const aliases = new Set(["reshape", "stop-gradient", "gradient-checkpoint"]);

/**
 * The operations in the order in which ONNX Runtime computes them: depth first, back from those that
 * none reads, the last of them and the last of an operation's inputs first. In a training step it
 * takes each layer's gradients as they come, where the graph's own order may keep them for later.
 */
const executionOrder = (operations: readonly Operation[]): Operation[] => {
  const places = new Map(operations.map((operation, place) => [operation, place]));
  const sourcesOf = ({ inputs }: Operation): Operation[] =>
    inputs.flatMap(({ source }) => (source.kind === "operation" ? [source.operation] : []));
  const read = new Set(operations.flatMap(sourcesOf));
  const stack = operations
    .filter((operation) => !read.has(operation))
    .map((operation) => ({ operation, isDone: false }));
  const visited = new Set<Operation>();
  const ordered: Operation[] = [];
  for (let entry = stack.pop(); entry !== undefined; entry = stack.pop()) {
    const { operation, isDone } = entry;
    if (isDone) ordered.push(operation);
    if (isDone || visited.has(operation)) continue;
    visited.add(operation);
    stack.push({ operation, isDone: true });
    const sources = sourcesOf(operation);
    sources.sort((left, right) => (places.get(left) ?? 0) - (places.get(right) ?? 0));
    for (const source of sources) stack.push({ operation: source, isDone: false });
  }
  return ordered;
};

/**
 * Bytes of the largest set of values that are live at once, when the operations run in the runtime's
 * order and a value's memory is free after its last use. Not counted: inputs, parameters, the memory
 * that kept outputs are written to, and the operators' own working memory.
 *
 * Throws `GraphError` when a side has no value in `bindings`.
 */
export const estimateActivationBytes = (
  graph: Graph,
  bindings: DimBindings = {},
  { isKept = () => false }: { readonly isKept?: (outputName: string) => boolean } = {},
): number => {
  const owners = new Map<Tensor, Tensor>();
  const ownerOf = (tensor: Tensor): Tensor => {
    const { source } = tensor;
    if (source.kind !== "operation" || !aliases.has(source.operation.operator.name)) return tensor;
    const known = owners.get(tensor) ?? ownerOf(source.operation.inputs[0]);
    owners.set(tensor, known);
    return known;
  };

  const operations = executionOrder(graph.operations);
  const lastUse = new Map<Tensor, number>();
  operations.forEach(({ inputs }, index) => {
    for (const tensor of inputs) lastUse.set(ownerOf(tensor), index);
  });
  const kept = new Set<Tensor>();
  for (const [name, tensor] of graph.outputs) {
    if (isKept(name)) kept.add(tensor);
    else lastUse.set(ownerOf(tensor), operations.length);
  }

  const bytesOf = (tensor: Tensor): number =>
    elementCount(evaluateShape(tensor.shape, bindings)) * dtypeBytes[tensor.dtype];
  /** What an operation takes memory for: not for further outputs that nobody reads. */
  const madeBy = ({ operator, outputs }: Operation): readonly Tensor[] =>
    outputs.filter(
      (tensor, index) =>
        !kept.has(tensor) &&
        (index === 0 || lastUse.has(tensor) || operator.needsAllOutputs === true),
    );
  let [live, most] = [0, 0];
  operations.forEach((operation, index) => {
    const made = madeBy(operation);
    if (!aliases.has(operation.operator.name)) {
      for (const tensor of made) live += bytesOf(tensor);
    }
    most = Math.max(most, live);
    const ending = new Set([...operation.inputs, ...made].map(ownerOf));
    for (const tensor of ending) {
      // A value that nothing reads ends where it began.
      const isOwn = tensor.source.kind === "operation" && !kept.has(tensor);
      if (isOwn && (lastUse.get(tensor) ?? index) === index) live -= bytesOf(tensor);
    }
  });
  return most;
};
