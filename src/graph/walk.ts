import type { Operation, Tensor } from "./tensor.js";

/**
 * The operations that `roots` need, in an order in which they can be computed. The walk goes back to
 * the leaves (inputs, parameters, constants), each of which `onLeaf` is told of, and not beyond
 * tensors that `isBoundary` says are given.
 */
export const listOperations = (
  roots: Iterable<Tensor>,
  {
    isBoundary = () => false,
    onLeaf = () => {},
  }: {
    readonly isBoundary?: (tensor: Tensor) => boolean;
    readonly onLeaf?: (tensor: Tensor) => void;
  } = {},
): Operation[] => {
  const operations: Operation[] = [];
  const visited = new Set<Operation>();
  for (const root of roots) {
    // An explicit stack: deep models would overflow the call stack.
    const stack: { tensor: Tensor; expanded: boolean }[] = [{ tensor: root, expanded: false }];
    for (let frame = stack.pop(); frame !== undefined; frame = stack.pop()) {
      const { tensor, expanded } = frame;
      if (isBoundary(tensor)) continue;
      if (tensor.source.kind !== "operation") {
        onLeaf(tensor);
        continue;
      }
      const { operation } = tensor.source;
      if (visited.has(operation)) continue;
      if (expanded) {
        visited.add(operation);
        operations.push(operation);
      } else {
        stack.push({ tensor, expanded: true });
        for (const input of [...operation.inputs].reverse()) {
          stack.push({ tensor: input, expanded: false });
        }
      }
    }
  }
  return operations;
};
