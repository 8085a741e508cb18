import { GraphError } from "../../errors.js";
import { apply, type GradientTools, type Operator } from "../operator.js";
import { formatShape, productOfDims, resolveAxis, type Shape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { reshape } from "./layout.js";

type ReduceAttributes = { readonly axes: readonly number[]; readonly keepSides: boolean };

/** `g` of a reduced result, with the reduced sides of `x` put back as 1. */
const withSides = (
  g: Tensor,
  x: Tensor,
  axes: readonly number[],
  { reshape }: GradientTools,
): Tensor =>
  reshape(
    g,
    x.shape.map((side, axis) => (axes.includes(axis) ? 1 : side)),
  );

const reduction = (
  name: string,
  opType: string,
  spread: (
    g: Tensor,
    sides: readonly [x: Tensor, y: Tensor],
    tools: GradientTools,
    axes: readonly number[],
  ) => Tensor,
) => {
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
    gradient: ({ inputs: [x], outputs: [y], attributes: { axes } }, [g], tools) => {
      if (g === undefined) return [];
      const [wide, value] = [g, y].map((tensor) => withSides(tensor, x, axes, tools));
      return [tools.broadcast(spread(wide, [x, value], tools, axes), x.shape)];
    },
    cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
  };
  return (x: Tensor, axes: readonly number[], { keepSides = false } = {}): Tensor => {
    const resolved = axes.map((axis) => resolveAxis(name, axis, x.rank));
    // Over no axis there is nothing to reduce; ONNX would take an empty list for all of them.
    return axes.length === 0 ? x : apply(operator, [x], { axes: resolved, keepSides })[0];
  };
};

/** Sum over `axes`. */
export const sum = reduction("sum", "ReduceSum", (g) => g);
/** Sum of the squares over `axes`. */
export const sumOfSquares = reduction(
  "sum-of-squares",
  "ReduceSumSquare",
  (g, [x], { multiply, scalar }) => multiply(multiply(g, x), scalar(2)),
);
/** Mean over `axes`. */
export const mean = reduction("mean", "ReduceMean", (g, [x], { multiply, scalar }, axes) => {
  const count = productOfDims(axes.map((axis) => x.shape[axis]));
  if (typeof count !== "number") {
    throw new GraphError(
      `grad: the mean over named sides of ${formatShape(x.shape)} has no gradient; use numbers`,
    );
  }
  return multiply(g, scalar(1 / count));
});
/** Largest element over `axes`; the gradient goes to every element that is the largest. */
export const largest = reduction("largest", "ReduceMax", (g, [x, y], { cast, equal, multiply }) =>
  multiply(g, cast(equal(x, y), "float32")),
);

const softmaxOperator: Operator<{ readonly axis: number }> = {
  name: "softmax",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x], attributes: { axis } }) => {
    lowering.emit("Softmax", [lowering.name(x)], { outputs, attributes: { axis: { int: axis } } });
  },
  gradient: ({ outputs: [y], attributes: { axis } }, [g], { multiply, subtract, sum }) => {
    if (g === undefined) return [];
    const weighted = multiply(g, y);
    return [subtract(weighted, multiply(y, sum(weighted, [axis], { keepSides: true })))];
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/** `exp(x) / sum(exp(x))` over one axis. */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  apply(softmaxOperator, [x], { axis: resolveAxis("softmax", axis, x.rank) })[0];

/** Sums the sides of `x` that broadcasting from `shape` had added or spread; the opposite of `broadcast`. */
export const sumToShape = (x: Tensor, shape: Shape): Tensor => {
  const added = x.rank - shape.length;
  const axes = x.shape.flatMap((side, axis) =>
    axis < added || (shape[axis - added] === 1 && side !== 1) ? [axis] : [],
  );
  return axes.length === 0 ? x : reshape(sum(x, axes), shape);
};
