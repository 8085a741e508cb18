import type { CheckpointLayout } from "./llava-config.js";
import type { UhdLayout } from "./llava-uhd-config.js";
import type { SystemConfig } from "./system.js";

/** What every system's vision tower has. */
export type VisionFacts = {
  /** Side of a view in pixels; of a square of a view's area where views have several shapes. */
  readonly viewSidePx: number;
  readonly patchSidePx: number;
  readonly width: number;
  readonly numLayers: number;
  readonly layout: CheckpointLayout | UhdLayout;
};

export const visionFactsOf = (config: SystemConfig): VisionFacts => {
  if (config.system === "llava-uhd") {
    const { tower, layout } = config.vision;
    const { width, numLayers, patchSizePx } = tower;
    const { viewSidePx } = config.slicing;
    return { viewSidePx, patchSidePx: patchSizePx, width, numLayers, layout };
  }
  const { imageSizePx, patchSizePx, width, numLayers } = config.vision;
  return {
    viewSidePx: imageSizePx,
    patchSidePx: patchSizePx,
    width,
    numLayers,
    layout: config.layout,
  };
};
