/** The graphs of LLaVA-UHD v4 before the language model. */
import { createGraph, type Graph } from "../graph/index.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { namedGroups } from "../vision/packed-tower.js";
import { type UhdVisionParams, uhdVisualTokens } from "./llava-uhd.js";
import type { UhdVisionConfig } from "./llava-uhd-config.js";
import { uhdVisionInput } from "./llava-uhd-input.js";

/** Patches of so many groups of views, whose sizes stay open, to visual tokens [M, D]. */
export const llavaUhdVisionGraph = (
  params: UhdVisionParams,
  config: UhdVisionConfig,
  numGroups: number,
  mode: DownsampleMode,
): Graph => {
  const input = uhdVisionInput(config, namedGroups(numGroups), mode);
  const { tokens } = uhdVisualTokens(params, input, config, mode);
  return createGraph(`llava-uhd.vision.${mode}.${numGroups}`, { tokens });
};
