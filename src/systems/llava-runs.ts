import type { LlavaParams } from "./llava.js";
import { type LlavaConfig, tokensPerView } from "./llava-config.js";
import { planImageTokens } from "./llava-encoder.js";
import { llavaSpliceGraph, llavaVisionGraph } from "./llava-graphs.js";
import { type Billing, onceNeeded, type RunPlanner } from "./run-plan.js";

/** The same config with the features of the tower's last layer: all of its layers are computed. */
export const billedConfig = <Config extends LlavaConfig>(
  config: Config,
  { tower }: Pick<Billing, "tower">,
): Config => (tower === "whole" ? { ...config, visionLayer: config.vision.numLayers } : config);

/** LLaVA-1.5 and LLaVA-NeXT: one vision run a frame, all views together; then one splice. */
export const createLlavaRunPlanner = (
  params: LlavaParams,
  config: LlavaConfig,
  billing: Billing,
): RunPlanner => {
  const vision = onceNeeded(() => llavaVisionGraph(params, billedConfig(config, billing)));
  const splice = onceNeeded(() => llavaSpliceGraph(params, config));
  return ({ media, textTokens }) => {
    const views = media.reduce(
      (sum, { plan, numFrames }) => sum + numFrames * plan.views.length,
      0,
    );
    const visualTokens = media.reduce(
      (sum, { plan, numFrames }) => sum + numFrames * planImageTokens(plan, config).length,
      0,
    );
    const sides = {
      L: textTokens + media.length,
      M: views * tokensPerView(config),
      T: textTokens + visualTokens,
    };
    return {
      visualTokens,
      runs: [
        ...media.map(({ plan, numFrames }) => ({
          graph: vision(),
          bindings: { V: plan.views.length },
          times: numFrames,
          part: "vision" as const,
        })),
        { graph: splice(), bindings: sides, times: 1, part: "prefill" as const },
      ],
    };
  };
};
