import { GraphError } from "../../errors.js";
import { float32 } from "../../tensor-data.js";
import type { GradientTools } from "../operator.js";
import { formatShape, type Shape } from "../shape.js";
import { constant, type Tensor } from "../tensor.js";
import type { ComposedAttention } from "./composed-attention.js";

/** Score of a key that may not be seen. */
const unseen = -1e30;

/** A bias [T, T] that hides every key after its query. */
const causalBias = (length: number): Tensor => {
  const bias = new Float32Array(length * length);
  for (let query = 0; query < length; query += 1) {
    bias.fill(unseen, query * length + query + 1, (query + 1) * length);
  }
  return constant(float32([length, length], bias));
};

/**
 * Gradients of attention's query, key and value. The weights are computed again from query and key
 * rather than kept: they are the largest tensor of a layer. With weights P and g the gradient of the
 * result: dV = Pᵀ g, dP = g Vᵀ, dS = P (dP - rowsum(dP P)), dQ = scale dS K, dK = scale dSᵀ Q.
 */
export const attentionGradient = (
  [query, key, value, bias]: readonly Tensor[],
  g: Tensor,
  { numHeads, numKeyValueHeads, scale, causal }: ComposedAttention,
  tools: GradientTools,
): readonly (Tensor | undefined)[] => {
  const { add, broadcast, matmul, multiply, reshape, softmax, subtract, sum, transpose } = tools;
  const group = numHeads / numKeyValueHeads;

  /** [B, T, heads·E] → [B, K, heads/K, T, E]: query heads beside their key-value head. */
  const split = (x: Tensor, heads: number): Tensor => {
    const [batch, length, width] = x.shape;
    const perGroup = heads / numKeyValueHeads;
    const parts = [batch, length, numKeyValueHeads, perGroup, Number(width) / heads];
    return transpose(reshape(x, parts), [0, 2, 3, 1, 4]);
  };
  const merge = (x: Tensor, shape: Shape): Tensor => reshape(transpose(x, [0, 3, 1, 2, 4]), shape);
  const spread = (x: Tensor): Tensor => {
    const [batch, heads, , length, width] = x.shape;
    return group === 1 ? x : broadcast(x, [batch, heads, group, length, width]);
  };
  const gather = (x: Tensor): Tensor => (group === 1 ? x : sum(x, [2], { keepSides: true }));

  const q = split(query, numHeads);
  const k = spread(split(key, numKeyValueHeads));
  const v = spread(split(value, numKeyValueHeads));
  const dMixed = split(g, numHeads);
  let scores = matmul(q, k, { transposeB: true, alpha: scale });
  if (bias !== undefined) {
    const [batch, heads, rows, columns] = bias.shape;
    const fits = heads === 1 ? [batch, 1, 1, rows, columns] : undefined;
    if (fits === undefined) {
      throw new GraphError(
        `grad: attention with a bias per head has no gradient, got ${formatShape(bias.shape)}; share one`,
      );
    }
    scores = add(scores, reshape(bias, fits));
  }
  if (causal) {
    const length = query.shape[1];
    if (typeof length !== "number") {
      throw new GraphError(
        `grad: causal attention needs a numeric length, got ${formatShape(query.shape)}; training graphs have fixed shapes`,
      );
    }
    scores = add(scores, causalBias(length));
  }
  const weights = softmax(scores);
  const dValue = matmul(weights, dMixed, { transposeA: true });
  const dWeights = matmul(dMixed, v, { transposeB: true });
  const weighted = multiply(dWeights, weights);
  const dScores = subtract(weighted, multiply(weights, sum(weighted, [-1], { keepSides: true })));
  const dQuery = matmul(dScores, k, { alpha: scale });
  const dKey = matmul(dScores, q, { transposeA: true, alpha: scale });
  // The bias takes no gradient: it is a mask, made of constants.
  return [
    merge(dQuery, query.shape),
    merge(gather(dKey), key.shape),
    merge(gather(dValue), value.shape),
  ];
};
