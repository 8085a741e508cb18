import type { GradientTools } from "../operator.js";
import { multiplyDims, type Shape } from "../shape.js";
import type { Operation, Tensor } from "../tensor.js";
import type { ComposedAttention } from "./composed-attention.js";

/**
 * Gradients of attention's query, key and value. With weights P, result O and its gradient g:
 * dV = Pᵀ g, dP = g Vᵀ, dS = P (dP - rowsum(g O)), dQ = scale dS K, dK = scale dSᵀ Q. The row sum of
 * g O is that of dP P (Dao et al. 2022, arXiv 2205.14135, section 3.1, Eq. 4), over a head's width
 * instead of all keys.
 */
export const attentionGradient = (
  {
    inputs: [query, key, value],
    outputs: [result, weights],
    attributes,
  }: Operation & { readonly attributes: ComposedAttention },
  g: Tensor,
  tools: GradientTools,
): readonly (Tensor | undefined)[] => {
  const { broadcast, matmul, multiply, reshape, subtract, sum, transpose } = tools;
  const { numHeads, numKeyValueHeads, scale } = attributes;
  const group = numHeads / numKeyValueHeads;

  /**
   * [B, T, heads·E] → [B, K, heads/K, T, E]: query heads beside their key-value head. In the steps in
   * which the forward pass does it, so that the runtime does it once for both.
   */
  const split = (x: Tensor, heads: number): Tensor => {
    const [batch, length, total] = x.shape;
    const width = Number(total) / heads;
    const byHead = transpose(reshape(x, [batch, length, heads, width]), [0, 2, 1, 3]);
    return reshape(byHead, [batch, numKeyValueHeads, heads / numKeyValueHeads, length, width]);
  };
  const merge = (x: Tensor, shape: Shape): Tensor => {
    const [batch, heads, perGroup, length, width] = x.shape;
    const byHead = reshape(x, [batch, multiplyDims(heads, perGroup), length, width]);
    return reshape(transpose(byHead, [0, 2, 1, 3]), shape);
  };
  const spread = (x: Tensor): Tensor => {
    const [batch, heads, , length, width] = x.shape;
    return group === 1 ? x : broadcast(x, [batch, heads, group, length, width]);
  };
  const gather = (x: Tensor): Tensor => (group === 1 ? x : sum(x, [2], { keepSides: true }));

  const q = split(query, numHeads);
  const k = spread(split(key, numKeyValueHeads));
  const v = spread(split(value, numKeyValueHeads));
  const dMixed = split(g, numHeads);
  const [batch, , rows, columns] = weights.shape;
  const shares = reshape(weights, [batch, numKeyValueHeads, group, rows, columns]);
  const dValue = matmul(shares, dMixed, { transposeA: true });
  const dWeights = matmul(dMixed, v, { transposeB: true });
  const [, length, total] = result.shape;
  const byHead = [batch, length, numHeads, Number(total) / numHeads];
  const along = reshape(transpose(sum(reshape(multiply(g, result), byHead), [-1]), [0, 2, 1]), [
    batch,
    numKeyValueHeads,
    group,
    rows,
    1,
  ]);
  const dScores = multiply(shares, subtract(dWeights, along));
  const dQuery = matmul(dScores, k, { alpha: scale });
  const dKey = matmul(dScores, q, { transposeA: true, alpha: scale });
  // The bias takes no gradient: it is a mask, made of constants.
  return [
    merge(dQuery, query.shape),
    merge(gather(dKey), key.shape),
    merge(gather(dValue), value.shape),
  ];
};
