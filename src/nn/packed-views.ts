/**
 * Views of several sizes in one row of tokens, so that everything that works token by token is one
 * product over all of them. Attention stays within a view: views of equal length are attended to as
 * a batch, and no mask is needed.
 */
import { ShapeError } from "../errors.js";
import {
  addDims,
  concat,
  type Dim,
  multiplyDims,
  reshape,
  sameDim,
  slice,
  type Tensor,
} from "../graph/index.js";
import { bidirectionalAttention, type QueryKeyValue } from "./attention-block.js";

/** Views of equal length that lie one after the other. */
export type ViewGroup = {
  readonly numViews: Dim;
  /** Tokens of each view. */
  readonly numTokens: Dim;
};

export type PackedViews = {
  readonly tokens: Tensor; // [N, D], views one after the other
  readonly groups: readonly ViewGroup[];
};

/** Tokens of all views of all groups. */
export const countPackedTokens = (groups: readonly ViewGroup[]): Dim =>
  addDims(...groups.map(({ numViews, numTokens }) => multiplyDims(numViews, numTokens)));

/** Throws `ShapeError` unless the groups are all of `tokens`. */
export const checkPacked = (where: string, { tokens, groups }: PackedViews): void => {
  const total = countPackedTokens(groups);
  if (tokens.rank === 2 && sameDim(tokens.shape[0], total)) return;
  throw new ShapeError(
    `${where}: tokens must be [${total}, D], as the groups say, got [${tokens.shape.map(String)}]`,
  );
};

/** A row tensor [N, D] as one tensor [V, n, D] for each group. */
export const splitGroups = (tokens: Tensor, groups: readonly ViewGroup[]): Tensor[] => {
  const width = tokens.shape[1];
  let start: Dim = 0;
  return groups.map(({ numViews, numTokens }) => {
    const end = addDims(start, multiplyDims(numViews, numTokens));
    const rows = groups.length === 1 ? tokens : slice(tokens, 0, start, end);
    start = end;
    return reshape(rows, [numViews, numTokens, width]);
  });
};

/** The opposite of `splitGroups`: [V, n, D] each → [N, D]. */
export const joinGroups = (parts: readonly Tensor[]): Tensor =>
  concat(
    parts.map((part) => reshape(part, [multiplyDims(part.shape[0], part.shape[1]), part.shape[2]])),
    0,
  );

/**
 * Attention of every view with itself. Three of [N, D] → [N, D]. `turn` rotates queries and keys of
 * a group, [V, n, D], by their places.
 */
export const packedAttention = (
  projected: QueryKeyValue,
  groups: readonly ViewGroup[],
  numHeads: number,
  turn: (rows: Tensor, group: number) => Tensor = (rows) => rows,
): Tensor => {
  const [queries, keys, values] = [projected.query, projected.key, projected.value].map((rows) =>
    splitGroups(rows, groups),
  );
  return joinGroups(
    groups.map((_, index) =>
      bidirectionalAttention(
        { query: turn(queries[index], index), key: turn(keys[index], index), value: values[index] },
        numHeads,
      ),
    ),
  );
};
