import { widenMixing } from "../reduce/early-compressor.js";
import { planPacking } from "../vision/pack-patches.js";
import type { TableSize } from "../vision/position-lookup.js";
import { planRuns } from "../vision/split-strip.js";
import { llavaSpliceGraph } from "./llava-graphs.js";
import type { LlavaUhdParams } from "./llava-uhd.js";
import { type LlavaUhdConfig, mergeLevels, type UhdVisionConfig } from "./llava-uhd-config.js";
import { countUhdTokens, gridsOf, modeOf } from "./llava-uhd-encoder.js";
import { llavaUhdVisionGraph } from "./llava-uhd-graphs.js";
import { type Billing, type GraphRun, onceNeeded, type RunPlanner } from "./run-plan.js";
import type { TokenChoice } from "./token-choice.js";

/** The encoder as it is billed: all layers, or attention within windows as if over whole views. */
export const billedVision = (
  config: UhdVisionConfig,
  { tower: layers, windows }: Pick<Billing, "tower" | "windows">,
): UhdVisionConfig => {
  const { tower, compressor } = config;
  const numUsedLayers = layers === "whole" ? tower.numLayers : tower.numUsedLayers;
  const variant = compressor && windows === "dense" ? widenMixing(compressor.variant) : undefined;
  return {
    ...config,
    tower: { ...tower, numUsedLayers },
    ...(compressor && variant && { compressor: { ...compressor, variant } }),
  };
};

/** LLaVA-UHD v4: an image's or frame's views in packed runs (`planRuns`), in groups of equal length; then one splice. */
export const createLlavaUhdRunPlanner = (
  params: LlavaUhdParams,
  config: LlavaUhdConfig,
  billing: Billing,
): RunPlanner => {
  const billed = billedVision(config.vision, billing);
  const graphs = new Map<string, GraphRun["graph"]>();
  const splice = onceNeeded(() => llavaSpliceGraph(params, config));
  const visionRun = (
    grids: readonly TableSize[],
    times: number,
    choice: TokenChoice | undefined,
  ): GraphRun => {
    const mode = modeOf(config, choice);
    const { groups } = planPacking(grids, mergeLevels(config.vision, mode));
    const key = `${mode} ${groups.length}`;
    const graph = graphs.get(key) ?? llavaUhdVisionGraph(params, billed, groups.length, mode);
    graphs.set(key, graph);
    const sides = groups.flatMap(({ numViews, numTokens }, group) => [
      [`V${group}`, numViews] as const,
      [`M${group}`, numTokens] as const,
    ]);
    const longest = Math.max(...grids.flatMap(({ rows, columns }) => [rows, columns]));
    // Places of a resampler's keys and of a rotation, as far as the graph has them.
    const tables = { P: longest, R: longest ** 2 };
    return { graph, bindings: { ...tables, ...Object.fromEntries(sides) }, times, part: "vision" };
  };
  return ({ media, textTokens }) => {
    const visualTokens = media.reduce(
      (sum, { plan, numFrames, choice }) =>
        sum + numFrames * countUhdTokens(plan, config, choice).reduce((a, b) => a + b, 0),
      0,
    );
    const views = media.reduce(
      (sum, { plan, numFrames }) => sum + numFrames * plan.views.length,
      0,
    );
    const sides = { L: textTokens + views, M: visualTokens, T: textTokens + visualTokens };
    return {
      visualTokens,
      runs: [
        ...media.flatMap(({ plan, numFrames, choice }) =>
          planRuns(gridsOf(plan, config)).map((grids) => visionRun(grids, numFrames, choice)),
        ),
        { graph: splice(), bindings: sides, times: 1, part: "prefill" as const },
      ],
    };
  };
};
