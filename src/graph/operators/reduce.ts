import { apply, type Operator } from "../operator.js";
import { productOfDims, resolveAxis } from "../shape.js";
import type { Tensor } from "../tensor.js";

type ReduceAttributes = { readonly axes: readonly number[]; readonly keepSides: boolean };

const reduction = (name: string, opType: string) => {
  const operator: Operator<ReduceAttributes> = {
    name,
    shape: ([x], { axes, keepSides }) => [
      {
        dtype: x.dtype,
        shape: keepSides
          ? x.shape.map((side, axis) => (axes.includes(axis) ? 1 : side))
          : x.shape.filter((_, axis) => !axes.includes(axis)),
      },
    ],
    lower: (lowering, outputs, { inputs: [x], attributes: { axes, keepSides } }) => {
      lowering.emit(opType, [lowering.name(x), lowering.ints(axes)], {
        outputs,
        attributes: { keepdims: { int: keepSides ? 1 : 0 } },
      });
    },
    cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
  };
  return (x: Tensor, axes: readonly number[], { keepSides = false } = {}): Tensor =>
    apply(operator, [x], {
      axes: axes.map((axis) => resolveAxis(name, axis, x.rank)),
      keepSides,
    })[0];
};

/** Sum over `axes`. */
export const sum = reduction("sum", "ReduceSum");
/** Mean over `axes`. */
export const mean = reduction("mean", "ReduceMean");
/** Largest element over `axes`. */
export const largest = reduction("largest", "ReduceMax");

const softmaxOperator: Operator<{ readonly axis: number }> = {
  name: "softmax",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x], attributes: { axis } }) => {
    lowering.emit("Softmax", [lowering.name(x)], { outputs, attributes: { axis: { int: axis } } });
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/** `exp(x) / sum(exp(x))` over one axis. */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  apply(softmaxOperator, [x], { axis: resolveAxis("softmax", axis, x.rank) })[0];
