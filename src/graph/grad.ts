import { GraphError } from "../errors.js";
import { float32 } from "../tensor-data.js";
import { apply } from "./operator.js";
import {
  type GradientCheckpoint,
  gradientCheckpointOperator,
} from "./operators/gradient-checkpoint.js";
import * as tools from "./operators/index.js";
import { formatShape } from "./shape.js";
import { constant, type Operation, type Tensor } from "./tensor.js";
import { listOperations } from "./walk.js";

export type GradOptions = {
  /**
   * Whether parts that end in a `gradientCheckpoint` are computed again in the backward pass instead
   * of being kept from the forward one.
   */
  readonly recompute?: boolean;
};

/** What makes two symbolic tensors one and the same value. */
const identityOf = (tensor: Tensor): Tensor | string =>
  tensor.source.kind === "parameter" || tensor.source.kind === "input"
    ? `${tensor.source.kind} ${tensor.source.name}`
    : tensor;

type Identities = ReadonlySet<Tensor | string>;

/** Operations, in their order, through which `wanted` acts on what follows. */
const findDependents = (
  operations: readonly Operation[],
  wanted: Identities,
): ReadonlySet<Operation> => {
  const dependents = new Set<Operation>();
  for (const operation of operations) {
    const depends = operation.inputs.some(
      (tensor) =>
        wanted.has(identityOf(tensor)) ||
        (tensor.source.kind === "operation" && dependents.has(tensor.source.operation)),
    );
    if (depends) dependents.add(operation);
  }
  return dependents;
};

const gradientsOf = (
  operation: Operation,
  outputGradients: readonly (Tensor | undefined)[],
): readonly (Tensor | undefined)[] => {
  const { operator } = operation;
  if (operator.gradient === undefined) {
    const path = operation.inputs.map((tensor) => `${tensor.dtype}${formatShape(tensor.shape)}`);
    throw new GraphError(
      `grad: operator "${operator.name}" has no gradient, needed at ${operator.name}(${path.join(", ")}); keep it out of what trains`,
    );
  }
  return operator.gradient(operation, outputGradients, tools);
};

/** A pass from `output`, whose gradient is `seed`, back to `wanted` and not beyond `boundary`. */
const differentiate = (
  output: Tensor,
  seed: Tensor,
  wanted: Identities,
  recompute: boolean,
  boundary: ReadonlySet<Tensor> = new Set(),
): ReadonlyMap<Tensor | string, Tensor> => {
  const operations = listOperations([output], { isBoundary: (tensor) => boundary.has(tensor) });
  const dependents = findDependents(operations, wanted);
  const gradients = new Map<Tensor | string, Tensor>();
  const leads = (tensor: Tensor): boolean =>
    wanted.has(identityOf(tensor)) ||
    (tensor.source.kind === "operation" && dependents.has(tensor.source.operation));
  const accumulate = (tensor: Tensor, gradient: Tensor | undefined): void => {
    if (gradient === undefined || !leads(tensor)) return;
    const key = identityOf(tensor);
    const known = gradients.get(key);
    gradients.set(key, known === undefined ? gradient : tools.add(known, gradient));
  };
  gradients.set(identityOf(output), seed);

  for (const operation of [...operations].reverse()) {
    if (!dependents.has(operation)) continue;
    const outputGradients = operation.outputs.map((tensor) => gradients.get(tensor));
    const [first] = outputGradients;
    if (outputGradients.every((gradient) => gradient === undefined)) continue;
    const again =
      recompute && first !== undefined ? recomputed(operation, first, wanted) : undefined;
    if (again !== undefined) {
      for (const [tensor, gradient] of again) accumulate(tensor, gradient);
      continue;
    }
    const inputGradients = gradientsOf(operation, outputGradients);
    operation.inputs.forEach((tensor, index) => {
      accumulate(tensor, inputGradients[index]);
    });
  }
  return gradients;
};

/**
 * Gradients of what a checkpointed part begins with and of the leaves it uses, by a second
 * computation of the part; undefined where `operation` does not end one, or where a target lies
 * within it, whose own value is needed.
 */
const recomputed = (
  operation: Operation,
  g: Tensor,
  wanted: Identities,
): (readonly [Tensor, Tensor | undefined])[] | undefined => {
  if (operation.operator.name !== gradientCheckpointOperator.name) return undefined;
  const { from, besides } = operation.attributes as GradientCheckpoint;
  const [output] = operation.inputs;
  const given = new Set([from, ...besides]);
  const leaves: Tensor[] = [];
  const part = listOperations([output], {
    isBoundary: (tensor) => given.has(tensor),
    onLeaf: (tensor) => leaves.push(tensor),
  });
  if (part.some(({ outputs }) => outputs.some((tensor) => wanted.has(tensor)))) return undefined;

  const held = tools.hold(from, g);
  const copies = new Map<Tensor, Tensor>([[from, held]]);
  for (const { operator, inputs, attributes, outputs } of part) {
    const made = apply(
      operator,
      inputs.map((tensor) => copies.get(tensor) ?? tensor),
      attributes,
    );
    outputs.forEach((tensor, index) => {
      copies.set(tensor, made[index]);
    });
  }
  const starts = [held, ...besides];
  const gradients = differentiate(
    copies.get(output) ?? output,
    g,
    new Set([...wanted, ...starts]),
    false,
    new Set(starts),
  );
  const wantedLeaves = new Map(leaves.map((leaf) => [identityOf(leaf), leaf] as const));
  return [
    [from, gradients.get(held)],
    ...besides.map((tensor) => [tensor, gradients.get(tensor)] as const),
    ...[...wantedLeaves].map(([identity, leaf]) => [leaf, gradients.get(identity)] as const),
  ];
};

/**
 * Gradients of a scalar `loss` by each of `targets` (parameters, inputs or intermediates), as further
 * tensors of the same graph: reverse-mode differentiation by the operators' own rules. A target that
 * the loss does not depend on has the gradient undefined. Throws `GraphError` naming the operator and
 * the way to it where a rule is missing.
 */
export const grad = (
  loss: Tensor,
  targets: readonly Tensor[],
  { recompute = false }: GradOptions = {},
): (Tensor | undefined)[] => {
  if (loss.rank !== 0 || loss.dtype !== "float32") {
    throw new GraphError(
      `grad: the loss must be a float32 scalar, got ${loss.dtype}${formatShape(loss.shape)}; sum or average it`,
    );
  }
  const wanted = new Set(targets.map(identityOf));
  const gradients = differentiate(loss, constant(float32([], [1])), wanted, recompute);
  return targets.map((tensor) => gradients.get(identityOf(tensor)));
};
