import { ShapeError } from "../../errors.js";
import { apply, type Operator } from "../operator.js";
import {
  broadcastShapes,
  type Dim,
  formatShape,
  multiplyDims,
  productOfDims,
  type Shape,
  sameDim,
} from "../shape.js";
import type { Tensor } from "../tensor.js";
import { keepZeroSides } from "./layout.js";
import { emitMatrixProduct } from "./matrix-product.js";

type MatmulAttributes = {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly alpha: number;
};

/** Rows and columns of a matrix after the optional transposition. */
const sidesOf = (shape: Shape, transposed: boolean): [Dim, Dim] => {
  const [rows, columns] = [shape[shape.length - 2], shape[shape.length - 1]];
  return transposed ? [columns, rows] : [rows, columns];
};

const matmulOperator: Operator<MatmulAttributes> = {
  name: "matmul",
  shape: ([a, b], { transposeA, transposeB }) => {
    if (a.rank < 2 || b.rank < 2) {
      throw new ShapeError(
        `matmul: both sides need rank 2 or more, got ${formatShape(a.shape)} and ${formatShape(b.shape)}`,
      );
    }
    const [rows, inner] = sidesOf(a.shape, transposeA);
    const [otherInner, columns] = sidesOf(b.shape, transposeB);
    if (!sameDim(inner, otherInner)) {
      throw new ShapeError(
        `matmul: inner sides must be equal, got ${formatShape(a.shape)} and ${formatShape(b.shape)}` +
          ` (transposed: ${transposeA}, ${transposeB})`,
      );
    }
    const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
    return [{ dtype: a.dtype, shape: [...batch, rows, columns] }];
  },
  lower: (lowering, outputs, { inputs: [a, b], attributes }) => {
    emitMatrixProduct(
      lowering,
      { name: lowering.name(a), rank: a.rank, transposed: attributes.transposeA },
      { name: lowering.name(b), rank: b.rank, transposed: attributes.transposeB },
      attributes.alpha,
      outputs,
    );
  },
  // With A' = op(a), B' = op(b): dA' = alpha g B'ᵀ and dB' = alpha A'ᵀ g, each transposed back.
  gradient: ({ inputs: [a, b], attributes }, [g], { matmul, sumToShape }) => {
    if (g === undefined) return [];
    const { transposeA, transposeB, alpha } = attributes;
    const left = transposeA
      ? matmul(b, g, { transposeA: transposeB, transposeB: true, alpha })
      : matmul(g, b, { transposeB: !transposeB, alpha });
    const right = transposeB
      ? matmul(g, a, { transposeA: true, transposeB: transposeA, alpha })
      : matmul(a, g, { transposeA: !transposeA, alpha });
    return [sumToShape(left, a.shape), sumToShape(right, b.shape)];
  },
  cost: ({ inputs: [a], outputs: [result], attributes: { transposeA } }) => ({
    attention: multiplyDims(productOfDims(result.shape), sidesOf(a.shape, transposeA)[1]),
  }),
};

/** Batched product of activations, `alpha · op(a) op(b)`; leading sides broadcast. */
export const matmul = (
  a: Tensor,
  b: Tensor,
  { transposeA = false, transposeB = false, alpha = 1 }: Partial<MatmulAttributes> = {},
): Tensor => apply(matmulOperator, [a, b], { transposeA, transposeB, alpha })[0];

const linearOperator: Operator = {
  name: "linear",
  shape: ([x, weight, bias]) => {
    const [outSide, inSide] = weight.shape;
    if (weight.rank !== 2 || x.rank < 2 || !sameDim(x.shape[x.rank - 1], inSide)) {
      throw new ShapeError(
        `linear: needs [..., in] and a weight [out, in], got ${formatShape(x.shape)} and ${formatShape(weight.shape)}`,
      );
    }
    if (bias !== undefined && !(bias.rank === 1 && sameDim(bias.shape[0], outSide))) {
      throw new ShapeError(`linear: bias must be [${outSide}], got ${formatShape(bias.shape)}`);
    }
    return [{ dtype: x.dtype, shape: [...x.shape.slice(0, -1), outSide] }];
  },
  // Gemm takes the weight as checkpoints store it, [out, in], straight from a mapped file.
  lower: (lowering, outputs, { inputs: [x, ...rest], outputs: [result] }) => {
    const attributes = { transB: { int: 1 } };
    const weights = rest.map(lowering.name);
    if (x.rank === 2) {
      lowering.emit("Gemm", [lowering.name(x), ...weights], { outputs, attributes });
      return;
    }
    const inSide = x.shape[x.rank - 1];
    const rows = lowering.emit("Reshape", [lowering.name(x), lowering.sides([-1, inSide])]);
    const product = lowering.emit("Gemm", [rows, ...weights], { attributes });
    lowering.emit("Reshape", [product, lowering.sides(result.shape)], {
      outputs,
      attributes: keepZeroSides,
    });
  },
  gradient: ({ inputs: [x, weight, bias], outputs: [y] }, [g], tools) => {
    if (g === undefined) return [];
    const { matmul, reshape, sum } = tools;
    const [outSide, inSide] = weight.shape;
    const rows = reshape(g, [-1, outSide]);
    const inputGradient = reshape(matmul(rows, weight), x.shape);
    const weightGradient = matmul(rows, reshape(x, [-1, inSide]), { transposeA: true });
    const axes = y.shape.slice(0, -1).map((_, axis) => axis);
    return [inputGradient, weightGradient, ...(bias === undefined ? [] : [sum(g, axes)])];
  },
  cost: ({ inputs: [x, weight] }) => ({
    linear: multiplyDims(productOfDims(x.shape), weight.shape[0]),
  }),
};

/** A linear layer: `x Wᵀ + b`, x [..., in], weight [out, in], bias [out] → [..., out]. */
export const linear = (x: Tensor, weight: Tensor, bias?: Tensor): Tensor =>
  apply(linearOperator, bias === undefined ? [x, weight] : [x, weight, bias], {})[0];
