/**
 * CLIP over views of any sizes: its table is looked up by the nearest entry, as SigLIP's is, so that
 * a view of the size it was trained with is encoded as by `vision/clip.ts`.
 */
import { ModelConfigError } from "../errors.js";
import { clipGridSide, parseClipConfig } from "./clip.js";
import type { PackedTowerConfig } from "./packed-tower.js";

/** `hiddenLayer`: the hidden state that is read, -2 in LLaVA models; the last norm is for -1 alone. */
export const parsePackedClipConfig = (config: unknown, hiddenLayer = -2): PackedTowerConfig => {
  const clip = parseClipConfig(config);
  const numUsedLayers = hiddenLayer < 0 ? clip.numLayers + 1 + hiddenLayer : hiddenLayer;
  if (!Number.isInteger(numUsedLayers) || numUsedLayers < 1 || numUsedLayers > clip.numLayers) {
    throw new ModelConfigError(
      `parsePackedClipConfig: the hidden layer must be within 1..${clip.numLayers}, or counted from the end, got ${hiddenLayer}`,
    );
  }
  const side = clipGridSide(clip);
  return {
    ...clip,
    kind: "clip",
    numUsedLayers,
    positions: { table: { rows: side, columns: side }, lookup: "bucket" },
    patchBias: false,
    hasClassToken: true,
    hasInputNorm: true,
    hasOutputNorm: true,
    usesOutputNorm: false,
  };
};
