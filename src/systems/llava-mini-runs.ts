import { embeddingGraph } from "../language/decoder-graph.js";
import type { LlavaMiniParams } from "./llava-mini.js";
import { compressorConfig, type LlavaMiniConfig } from "./llava-mini-config.js";
import {
  llavaMiniFusionGraph,
  llavaMiniSpliceGraph,
  llavaMiniVisionGraph,
} from "./llava-mini-graphs.js";
import { billedConfig } from "./llava-runs.js";
import { type Billing, type GraphRun, onceNeeded, type RunPlanner } from "./run-plan.js";

/** LLaVA-Mini: one vision and one fusion run a frame, each fusion with the whole text; one splice. */
export const createLlavaMiniRunPlanner = (
  params: LlavaMiniParams,
  config: LlavaMiniConfig,
  billing: Billing,
): RunPlanner => {
  const vision = onceNeeded(() => llavaMiniVisionGraph(params, billedConfig(config, billing)));
  // Tables of positions cost nothing to run; their length does not matter here.
  const fusion = onceNeeded(() => llavaMiniFusionGraph(params, config, 1));
  const splice = onceNeeded(() => llavaMiniSpliceGraph(config));
  const embed = onceNeeded(() => embeddingGraph(params.language));
  const tokensPerFrame = compressorConfig(config).gridSide ** 2;
  return ({ media, textTokens }) => {
    const numFrames = media.reduce((sum, medium) => sum + medium.numFrames, 0);
    const fuses = numFrames > 0 || config.variant.textOnlyPrompts === "blank-image";
    if (!fuses) {
      const bindings = { B: 1, T: textTokens };
      return { visualTokens: 0, runs: [{ graph: embed(), bindings, times: 1, part: "prefill" }] };
    }
    // Without an image a blank one goes into the fusion, and nothing of it into the prompt.
    const times = Math.max(1, numFrames);
    const visualTokens = numFrames * tokensPerFrame;
    const places = textTokens + media.length;
    const L = billing.placeholder === "billed" ? places : textTokens;
    const spliced = { L: places, M: times * tokensPerFrame, T: textTokens + visualTokens };
    const runs: GraphRun[] = [
      { graph: vision(), bindings: {}, times, part: "vision" },
      { graph: fusion(), bindings: { L }, times, part: "fusion" },
      { graph: splice(), bindings: spliced, times: 1, part: "prefill" },
    ];
    return { visualTokens, runs };
  };
};
