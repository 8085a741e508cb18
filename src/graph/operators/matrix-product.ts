import type { Lowering } from "../operator.js";

/** One side of a product: a value of `rank` sides whose last two may be swapped before. */
export type ProductSide = {
  readonly name: string;
  readonly rank: number;
  readonly transposed: boolean;
};

const swapLastTwo = (lowering: Lowering, { name, rank, transposed }: ProductSide): string => {
  if (!transposed) return name;
  const perm = Array.from({ length: rank }, (_, axis) => axis);
  perm.splice(-2, 2, rank - 1, rank - 2);
  return lowering.emit("Transpose", [name], { attributes: { perm: { ints: perm } } });
};

/**
 * Emits `alpha · a b`: one node where the engine has a kernel for it. Without one, ONNX Runtime would
 * compute `FusedMatMul` on the processor and carry the operands there and back, silently.
 */
export const emitMatrixProduct = (
  lowering: Lowering,
  a: ProductSide,
  b: ProductSide,
  alpha: number,
  outputs?: readonly string[],
): string => {
  const output = outputs === undefined ? {} : { outputs };
  const attributes = {
    transA: { int: a.transposed ? 1 : 0 },
    transB: { int: b.transposed ? 1 : 0 },
    alpha: { float: alpha },
  };
  if (lowering.hasFusedMatMul) {
    const domain = "com.microsoft";
    return lowering.emit("FusedMatMul", [a.name, b.name], { ...output, domain, attributes });
  }
  if (a.rank === 2 && b.rank === 2) {
    return lowering.emit("Gemm", [a.name, b.name], { ...output, attributes });
  }
  const operands = [swapLastTwo(lowering, a), swapLastTwo(lowering, b)];
  if (alpha === 1) return lowering.emit("MatMul", operands, output);
  const product = lowering.emit("MatMul", operands);
  return lowering.emit("Mul", [product, lowering.scalar(alpha)], output);
};
