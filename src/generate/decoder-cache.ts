import type { CopyLayout, Resident } from "../graph/index.js";
import type { CachePart } from "../language/layer-cache.js";
import { elementCount } from "../tensor-data.js";

/** What every layer keeps of `batch` sequences, in the engine: keys and values, or a recurrent state. */
export type DecoderCache = {
  readonly batch: number;
  readonly capacity: number;
  /** The parts of each layer by their names (`layerCacheParts`). */
  readonly layers: readonly Readonly<Record<string, Resident>>[];
  /** Tokens held of each sequence. */
  readonly lengths: number[];
};

/** Elements of one token's row of a head. */
export const rowElements = ({ shape }: CachePart): number => Number(shape(1, 1)[3]);

/**
 * Where `tokens` rows of one sequence lie in two memories of such room; a state lies in both as a whole,
 * whatever the number of tokens.
 */
export const copyLayout = (
  part: CachePart,
  tokens: number,
  fromCapacity: number,
  toCapacity: number,
): CopyLayout => {
  if (part.kind === "state") {
    const count = elementCount(part.shape(1, 1).map(Number));
    return { numBlocks: 1, blockElements: count, fromStride: count, toStride: count };
  }
  const width = rowElements(part);
  return {
    numBlocks: Number(part.shape(1, 1)[1]),
    blockElements: tokens * width,
    fromStride: fromCapacity * width,
    toStride: toCapacity * width,
  };
};
