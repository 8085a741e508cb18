import { apply, type Operator } from "../operator.js";
import type { Tensor } from "../tensor.js";

/** Where a part of a model begins: what is kept of it when all else is computed again. */
export type GradientCheckpoint = {
  readonly from: Tensor;
  readonly besides: readonly Tensor[];
};

export const gradientCheckpointOperator: Operator<GradientCheckpoint> = {
  name: "gradient-checkpoint",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x] }) => {
    lowering.emit("Identity", [lowering.name(x)], { outputs });
  },
  // Where nothing is computed again, the mark is nothing; `grad` does the rest.
  gradient: (_, [g]) => [g],
  cost: () => ({}),
};

/**
 * Marks `output`, computed from `from` (and from `besides`, such as masks that several parts share),
 * as the end of a part, a layer as a rule. `grad` may then keep only `from` of the part and compute
 * the rest again in the backward pass (Chen et al. 2016, arXiv 1604.06174, section 4). Costs nothing
 * where it does not.
 */
export const gradientCheckpoint = (
  output: Tensor,
  from: Tensor,
  besides: readonly Tensor[] = [],
): Tensor => apply(gradientCheckpointOperator, [output], { from, besides })[0];

const holdOperator: Operator = {
  name: "hold",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  // An element of `until`, times zero, is added. What does nothing, or follows from nothing new, the
  // runtime would take out, and merge what is computed from it with what was computed before.
  lower: (lowering, outputs, { inputs: [x, until] }) => {
    const row = lowering.emit("Reshape", [lowering.name(until), lowering.ints([-1])]);
    const first = lowering.emit("Slice", [row, lowering.ints([0]), lowering.ints([1])]);
    const zero = lowering.emit("Mul", [first, lowering.scalar(0)]);
    lowering.emit("Add", [lowering.name(x), zero], { outputs });
  },
  cost: () => ({}),
};

/** The same value, not before `until` is there: for computing again in the backward pass. */
export const hold = (x: Tensor, until: Tensor): Tensor => apply(holdOperator, [x, until], {})[0];
