/**
 * Taking visual tokens away in some layers: LLaVA-Mini's preliminary analysis (Zhang et al. 2025,
 * arXiv 2501.03895, section 3, figure 5), which removes them in four layers of 32 at a time. The paper
 * does not say how. Here tokens are hidden: in the layers named nobody attends to them, and everything
 * keeps its place. Hidden in every layer, they might as well not be there.
 */
import { OptionsError } from "../errors.js";
import { type AnsweredSequence, placesWhere } from "./answered-sequence.js";
import { answerWithHidden, type HiddenAnswer } from "./hidden-answer.js";
import type { SequenceProbe } from "./sequence-probe.js";

/** A block of layers, first and last counted from 0. */
export type LayerBlock = { readonly first: number; readonly last: number };

export type VisionDropping = {
  /** Nothing is hidden. */
  readonly plain: HiddenAnswer;
  /** Visual tokens hidden in one block of layers. */
  readonly blocks: readonly (HiddenAnswer & { readonly layers: LayerBlock })[];
  /** Visual tokens hidden in all layers: the answer without the image. */
  readonly everywhere: HiddenAnswer;
};

/** Layers in blocks of `size`; the last may be smaller. Throws `OptionsError` for a size below 1. */
export const planLayerBlocks = (numLayers: number, size: number): LayerBlock[] => {
  if (!Number.isInteger(size) || size < 1) {
    throw new OptionsError(
      `planLayerBlocks: a block must have a whole number of layers, at least 1, got ${size}; four of 32 are the paper's`,
    );
  }
  return Array.from({ length: Math.ceil(numLayers / size) }, (_, index) => ({
    first: index * size,
    last: Math.min((index + 1) * size, numLayers) - 1,
  }));
};

/** An eighth of the layers, at least one: the paper's four of 32. */
export const defaultBlockSize = (numLayers: number): number =>
  Math.max(1, Math.round(numLayers / 8));

/** Measures what an answer owes to its visual tokens in each block of `blockSize` layers. */
export const dropVisionByLayers = async (
  probe: SequenceProbe,
  sequence: AnsweredSequence,
  { blockSize = defaultBlockSize(probe.numLayers) }: { readonly blockSize?: number } = {},
): Promise<VisionDropping> => {
  const layerBlocks = planLayerBlocks(probe.numLayers, blockSize);
  const visual = new Set(placesWhere(sequence, (token) => token.class === "vision"));
  const plain = await answerWithHidden(probe, sequence);
  const blocks: VisionDropping["blocks"][number][] = [];
  for (const layers of layerBlocks) {
    const { first, last } = layers;
    const isHidden = (layer: number, place: number): boolean =>
      layer >= first && layer <= last && visual.has(place);
    blocks.push({ layers, ...(await answerWithHidden(probe, sequence, isHidden)) });
  }
  const everywhere = await answerWithHidden(probe, sequence, (_, place) => visual.has(place));
  return { plain, blocks, everywhere };
};
