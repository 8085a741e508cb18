import { ShapeError } from "../../errors.js";
import { apply, type Lowering, type Operator } from "../operator.js";
import { formatShape, productOfDims, type Shape, sameDim } from "../shape.js";
import type { Tensor } from "../tensor.js";

type NormAttributes = { readonly epsilon: number };

/** Weight and bias must be vectors as wide as the last side. */
const checkVectors = (where: string, x: Tensor, vectors: readonly Tensor[]): void => {
  for (const vector of vectors) {
    if (vector.rank !== 1 || !sameDim(vector.shape[0], x.shape[x.rank - 1])) {
      throw new ShapeError(
        `${where}: parameters must be [${x.shape[x.rank - 1]}], got ${formatShape(vector.shape)}`,
      );
    }
  }
};

/** Statistics of each row, [..., 1]: what the gradients need and the kernels compute anyway. */
const rowShape = (x: Tensor): Shape => [...x.shape.slice(0, -1), 1];

/**
 * `1 / sqrt(mean(x²) + epsilon)` of each row, written to `output`: for engines whose norms do not say
 * it (`hasNormStatistics`).
 */
const emitInverseDeviation = (
  lowering: Lowering,
  x: string,
  epsilon: number,
  output: string,
): void => {
  const squares = lowering.emit("Mul", [x, x]);
  const mean = lowering.emit("ReduceMean", [squares, lowering.ints([-1])]);
  const deviation = lowering.emit("Sqrt", [lowering.emit("Add", [mean, lowering.scalar(epsilon)])]);
  lowering.emit("Reciprocal", [deviation], { outputs: [output] });
};

const layerNormOperator: Operator<NormAttributes> = {
  name: "layer-norm",
  shape: ([x, weight, bias]) => {
    checkVectors("layerNorm", x, [weight, bias]);
    const row = { dtype: x.dtype, shape: rowShape(x) };
    return [{ dtype: x.dtype, shape: x.shape }, row, row];
  },
  lower: (lowering, [output, mean, inverse], { inputs, attributes: { epsilon } }) => {
    const ownStatistics = lowering.hasNormStatistics ? [mean, inverse] : [];
    if (!lowering.hasNormStatistics && (mean !== "" || inverse !== "")) {
      const x = lowering.name(inputs[0]);
      const centre = lowering.emit("ReduceMean", [x, lowering.ints([-1])], {
        ...(mean !== "" && { outputs: [mean] }),
      });
      if (inverse !== "") {
        emitInverseDeviation(lowering, lowering.emit("Sub", [x, centre]), epsilon, inverse);
      }
    }
    lowering.emit("LayerNormalization", inputs.map(lowering.name), {
      outputs: [output, ...ownStatistics],
      attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
    });
  },
  // With n = (x - mean) / deviation and h = g w: dx = (h - mean(h) - n mean(h n)) / deviation.
  gradient: ({ inputs: [x, weight, bias], outputs: [, rowMean, inverse] }, [g], tools) => {
    if (g === undefined) return [];
    const { mean, multiply, subtract, sumToShape } = tools;
    const normed = multiply(subtract(x, rowMean), inverse);
    const h = multiply(g, weight);
    const centred = subtract(h, mean(h, [-1], { keepSides: true }));
    const along = multiply(normed, mean(multiply(h, normed), [-1], { keepSides: true }));
    return [
      multiply(subtract(centred, along), inverse),
      sumToShape(multiply(g, normed), weight.shape),
      sumToShape(g, bias.shape),
    ];
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

const rmsNormOperator: Operator<NormAttributes> = {
  name: "rms-norm",
  shape: ([x, weight]) => {
    checkVectors("rmsNorm", x, [weight]);
    return [
      { dtype: x.dtype, shape: x.shape },
      { dtype: x.dtype, shape: rowShape(x) },
    ];
  },
  lower: (lowering, [output, inverse], { inputs, attributes: { epsilon } }) => {
    const ownStatistics = lowering.hasNormStatistics ? [inverse] : [];
    if (!lowering.hasNormStatistics && inverse !== "") {
      emitInverseDeviation(lowering, lowering.name(inputs[0]), epsilon, inverse);
    }
    lowering.emit("SimplifiedLayerNormalization", inputs.map(lowering.name), {
      outputs: [output, ...ownStatistics],
      attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
    });
  },
  // With n = x / deviation and h = g w: dx = (h - n mean(h n)) / deviation.
  gradient: ({ inputs: [x, weight], outputs: [, inverse] }, [g], tools) => {
    if (g === undefined) return [];
    const { mean, multiply, subtract, sumToShape } = tools;
    const normed = multiply(x, inverse);
    const h = multiply(g, weight);
    const along = multiply(normed, mean(multiply(h, normed), [-1], { keepSides: true }));
    return [multiply(subtract(h, along), inverse), sumToShape(multiply(g, normed), weight.shape)];
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/** Layer normalisation over the last side (Ba et al. 2016). weight, bias [D]. */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor =>
  apply(layerNormOperator, [x, weight, bias], { epsilon })[0];

/** Root-mean-square normalisation over the last side (Zhang & Sennrich 2019). weight [D]. */
export const rmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor =>
  apply(rmsNormOperator, [x, weight], { epsilon })[0];
