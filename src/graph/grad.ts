import { GraphError } from "../errors.js";
import { float32 } from "../tensor-data.js";
import { createGraph } from "./graph.js";
import * as tools from "./operators/index.js";
import { formatShape } from "./shape.js";
import { constant, type Operation, type Tensor } from "./tensor.js";

/** Operations through which `targets` act on the graph's outputs. */
const findDependents = (
  operations: readonly Operation[],
  targets: ReadonlySet<Tensor>,
  sameSource: (tensor: Tensor) => boolean,
): ReadonlySet<Operation> => {
  const dependents = new Set<Operation>();
  for (const operation of operations) {
    const depends = operation.inputs.some(
      (tensor) =>
        targets.has(tensor) ||
        sameSource(tensor) ||
        (tensor.source.kind === "operation" && dependents.has(tensor.source.operation)),
    );
    if (depends) dependents.add(operation);
  }
  return dependents;
};

/** What makes two symbolic tensors one and the same value. */
const identityOf = (tensor: Tensor): Tensor | string =>
  tensor.source.kind === "parameter" || tensor.source.kind === "input"
    ? `${tensor.source.kind} ${tensor.source.name}`
    : tensor;

/**
 * Gradients of a scalar `loss` by each of `targets` (parameters, inputs or intermediates), as further
 * tensors of the same graph: reverse-mode differentiation by the operators' own rules. A target that
 * the loss does not depend on has the gradient undefined. Throws `GraphError` naming the operator and
 * the way to it where a rule is missing.
 */
export const grad = (loss: Tensor, targets: readonly Tensor[]): (Tensor | undefined)[] => {
  if (loss.rank !== 0 || loss.dtype !== "float32") {
    throw new GraphError(
      `grad: the loss must be a float32 scalar, got ${loss.dtype}${formatShape(loss.shape)}; sum or average it`,
    );
  }
  const wanted = new Set(targets.map(identityOf));
  const { operations } = createGraph("grad", { loss });
  const dependents = findDependents(operations, new Set(targets), (tensor) =>
    wanted.has(identityOf(tensor)),
  );
  const gradients = new Map<Tensor | string, Tensor>();
  const accumulate = (tensor: Tensor, gradient: Tensor): void => {
    const key = identityOf(tensor);
    const known = gradients.get(key);
    gradients.set(key, known === undefined ? gradient : tools.add(known, gradient));
  };
  accumulate(loss, constant(float32([], [1])));

  for (const operation of [...operations].reverse()) {
    if (!dependents.has(operation)) continue;
    const outputGradients = operation.outputs.map((tensor) => gradients.get(tensor));
    if (outputGradients.every((gradient) => gradient === undefined)) continue;
    const { operator } = operation;
    if (operator.gradient === undefined) {
      const path = operation.inputs.map((tensor) => `${tensor.dtype}${formatShape(tensor.shape)}`);
      throw new GraphError(
        `grad: operator "${operator.name}" has no gradient, needed at ${operator.name}(${path.join(", ")}); keep it out of what trains`,
      );
    }
    const inputGradients = operator.gradient(operation, outputGradients, tools);
    operation.inputs.forEach((tensor, index) => {
      const gradient = inputGradients[index];
      const leads =
        wanted.has(identityOf(tensor)) ||
        (tensor.source.kind === "operation" && dependents.has(tensor.source.operation));
      if (gradient !== undefined && leads) accumulate(tensor, gradient);
    });
  }
  return targets.map((tensor) => gradients.get(identityOf(tensor)));
};
