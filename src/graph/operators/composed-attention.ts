import type { Lowering } from "../operator.js";
import type { Tensor } from "../tensor.js";
import { keepZeroSides } from "./layout.js";
import { emitMatrixProduct } from "./matrix-product.js";

export type ComposedAttention = {
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly scale: number;
  readonly causal: boolean;
};

/** Score of a key that may not be seen. */
const unseen = -1e30;

/** [B, T, heads·E] → [B, heads, T, E]. */
const splitHeads = (lowering: Lowering, tensor: Tensor, numHeads: number): string => {
  const [batch, length, width] = tensor.shape;
  const shape = [batch, length, numHeads, Number(width) / numHeads];
  const heads = lowering.emit("Reshape", [lowering.name(tensor), lowering.sides(shape)], {
    attributes: keepZeroSides,
  });
  return lowering.emit("Transpose", [heads], { attributes: { perm: { ints: [0, 2, 1, 3] } } });
};

/** Each key-value head repeated for its group of query heads, [B, K, S, E] → [B, H, S, E]. */
const repeatHeads = (
  lowering: Lowering,
  heads: string,
  tensor: Tensor,
  { numHeads, numKeyValueHeads }: ComposedAttention,
): string => {
  if (numHeads === numKeyValueHeads) return heads;
  const [batch, length, total] = tensor.shape;
  const width = Number(total) / numKeyValueHeads;
  const grouped = [batch, numKeyValueHeads, 1, length, width];
  const repeated = [batch, numKeyValueHeads, numHeads / numKeyValueHeads, length, width];
  const single = lowering.emit("Reshape", [heads, lowering.sides(grouped)], {
    attributes: keepZeroSides,
  });
  const spread = lowering.emit("Expand", [single, lowering.sides(repeated)]);
  return lowering.emit("Reshape", [spread, lowering.sides([batch, numHeads, length, width])]);
};

/** A bias [T, T] that hides every key after its query. */
const causalBias = (lowering: Lowering, length: Tensor["shape"][number]): string => {
  const places = lowering.emit("Range", [
    lowering.int(0),
    lowering.emit("Squeeze", [lowering.sides([length])]),
    lowering.int(1),
  ]);
  const queries = lowering.emit("Unsqueeze", [places, lowering.ints([1])]);
  const later = lowering.emit("Less", [queries, places]);
  return lowering.emit("Where", [later, lowering.scalar(unseen), lowering.scalar(0)]);
};

/** What is added to the scores, mask and bias in one: made once for all layers that share them. */
const scoreBias = (
  lowering: Lowering,
  length: Tensor["shape"][number],
  causal: boolean,
  bias: Tensor | undefined,
): string | undefined => {
  if (!causal) return bias && lowering.name(bias);
  const mask = causalBias(lowering, length);
  return bias === undefined ? mask : lowering.emit("Add", [lowering.name(bias), mask]);
};

/**
 * Attention from matrix products and a soft-max: what the fused kernels compute, for those who need
 * its weights [B, H, T, S] (an empty name where nobody does), and for engines whose fused kernels do
 * not compute it rightly (`Engine.maxFusedQueries`).
 */
export const emitComposedAttention = (
  lowering: Lowering,
  [query, key, value, bias]: readonly Tensor[],
  result: Tensor,
  { output, weights }: { readonly output: string; readonly weights: string },
  attributes: ComposedAttention,
): void => {
  const { numHeads, numKeyValueHeads, scale, causal } = attributes;
  const heads = splitHeads(lowering, query, numHeads);
  const [keys, values] = [key, value].map((tensor) =>
    repeatHeads(lowering, splitHeads(lowering, tensor, numKeyValueHeads), tensor, attributes),
  );
  let scores = emitMatrixProduct(
    lowering,
    { name: heads, rank: 4, transposed: false },
    { name: keys, rank: 4, transposed: true },
    scale,
  );
  const added = scoreBias(lowering, query.shape[1], causal, bias);
  if (added !== undefined) scores = lowering.emit("Add", [scores, added]);
  const shares = lowering.emit("Softmax", [scores], {
    attributes: { axis: { int: -1 } },
    ...(weights !== "" && { outputs: [weights] }),
  });
  const mixed = lowering.emit("MatMul", [shares, values]);
  const merged = lowering.emit("Transpose", [mixed], {
    attributes: { perm: { ints: [0, 2, 1, 3] } },
  });
  lowering.emit("Reshape", [merged, lowering.sides(result.shape)], { outputs: [output] });
};
