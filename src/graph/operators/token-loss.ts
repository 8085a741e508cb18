import { ShapeError } from "../../errors.js";
import { apply, type Operator } from "../operator.js";
import { formatShape, productOfDims, sameDim } from "../shape.js";
import type { Tensor } from "../tensor.js";

const oneHotOperator: Operator<{ readonly numClasses: number }> = {
  name: "one-hot",
  shape: ([indices], { numClasses }) => [
    { dtype: "float32", shape: [...indices.shape, numClasses] },
  ],
  lower: (lowering, outputs, { inputs: [indices], attributes: { numClasses } }) => {
    const both = [0, 1].map((value) =>
      lowering.emit("Reshape", [lowering.scalar(value), lowering.ints([1])]),
    );
    const offAndOn = lowering.emit("Concat", both, { attributes: { axis: { int: 0 } } });
    lowering.emit("OneHot", [lowering.name(indices), lowering.ints([numClasses]), offAndOn], {
      outputs,
    });
  },
  cost: () => ({}),
};

/** 1 at each index and 0 elsewhere: indices [...] (int64) → [..., numClasses]. */
export const oneHot = (indices: Tensor, numClasses: number): Tensor =>
  apply(oneHotOperator, [indices], { numClasses })[0];

const tokenLossOperator: Operator = {
  name: "token-loss",
  shape: ([scores, labels]) => {
    if (
      scores.rank !== 2 ||
      labels.dtype !== "int64" ||
      !sameDim(scores.shape[0], labels.shape[0])
    ) {
      throw new ShapeError(
        `tokenLoss: needs scores [R, W] and int64 labels [R], got ${formatShape(scores.shape)} and ${labels.dtype}${formatShape(labels.shape)}`,
      );
    }
    return [{ dtype: scores.dtype, shape: labels.shape }];
  },
  // Composed, because WebGPU has no LogSoftmax: log(sum(exp(s - max))) + max - s[label].
  lower: (lowering, outputs, { inputs: [scores, labels] }) => {
    const name = lowering.name(scores);
    const [axis, keep] = [lowering.ints([1]), { attributes: { keepdims: { int: 1 } } }];
    const top = lowering.emit("ReduceMax", [name, axis], keep);
    const powers = lowering.emit("Exp", [lowering.emit("Sub", [name, top])]);
    const total = lowering.emit("ReduceSum", [powers, axis], keep);
    const logTotal = lowering.emit("Add", [lowering.emit("Log", [total]), top]);
    const places = lowering.emit("Unsqueeze", [lowering.name(labels), axis]);
    const own = lowering.emit("GatherElements", [name, places], {
      attributes: { axis: { int: 1 } },
    });
    lowering.emit("Squeeze", [lowering.emit("Sub", [logTotal, own]), axis], { outputs });
  },
  gradient: ({ inputs: [scores, labels] }, [g], tools) => {
    if (g === undefined) return [];
    const { multiply, oneHot, reshape, softmax, subtract } = tools;
    const [rows, width] = scores.shape;
    const error = subtract(softmax(scores), oneHot(labels, Number(width)));
    return [multiply(error, reshape(g, [rows, 1]))];
  },
  cost: ({ inputs: [scores] }) => ({ elementwise: productOfDims(scores.shape) }),
};

/**
 * Negative log-likelihood of each label under the soft-max of its scores.
 * scores [R, W], labels [R] (int64, each within 0..W-1) → [R].
 */
export const tokenLoss = (scores: Tensor, labels: Tensor): Tensor =>
  apply(tokenLossOperator, [scores, labels], {})[0];
