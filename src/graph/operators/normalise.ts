import { ShapeError } from "../../errors.js";
import { apply, type Operator } from "../operator.js";
import { formatShape, productOfDims, sameDim } from "../shape.js";
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

const normOperator = (name: string, opType: string): Operator<NormAttributes> => ({
  name,
  shape: ([x, ...vectors]) => {
    checkVectors(name, x, vectors);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  lower: (lowering, outputs, { inputs, attributes: { epsilon } }) => {
    lowering.emit(opType, inputs.map(lowering.name), {
      outputs,
      attributes: { axis: { int: -1 }, epsilon: { float: epsilon } },
    });
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
});

const layerNormOperator = normOperator("layer-norm", "LayerNormalization");
const rmsNormOperator = normOperator("rms-norm", "SimplifiedLayerNormalization");

/** Layer normalisation over the last side (Ba et al. 2016). weight, bias [D]. */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor =>
  apply(layerNormOperator, [x, weight, bias], { epsilon })[0];

/** Root-mean-square normalisation over the last side (Zhang & Sennrich 2019). weight [D]. */
export const rmsNorm = (x: Tensor, weight: Tensor, epsilon: number): Tensor =>
  apply(rmsNormOperator, [x, weight], { epsilon })[0];
