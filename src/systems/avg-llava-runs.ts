import {
  type AvgLlavaParams,
  avgLlavaPoolGraph,
  avgLlavaRouterGraph,
  mostTokens,
  planAvgLlavaTokens,
} from "./avg-llava.js";
import type { AvgLlavaConfig } from "./avg-llava-config.js";
import { tokensPerView } from "./llava-config.js";
import { llavaSpliceGraph, llavaVisionGraph } from "./llava-graphs.js";
import { billedConfig } from "./llava-runs.js";
import { type Billing, type GraphRun, onceNeeded, type RunPlanner } from "./run-plan.js";

/**
 * AVG-LLaVA: for each frame vision, the router where it is asked, and the pooling; then one splice.
 * What the router chooses is not known before it runs: the most tokens that it may choose are planned.
 */
export const createAvgLlavaRunPlanner = (
  params: AvgLlavaParams,
  config: AvgLlavaConfig,
  billing: Billing,
): RunPlanner => {
  const vision = onceNeeded(() => llavaVisionGraph(params, billedConfig(config, billing)));
  const router = onceNeeded(() => avgLlavaRouterGraph(params, config));
  const splice = onceNeeded(() => llavaSpliceGraph(params, config));
  const pools = new Map(
    config.granularities.map((granularity) => [
      granularity.tokens,
      onceNeeded(() => avgLlavaPoolGraph(config, granularity)),
    ]),
  );
  return ({ media, textTokens }) => {
    const runs: GraphRun[] = [];
    let [rows, visualTokens] = [0, 0];
    for (const { plan, numFrames: times, choice } of media) {
      const options = planAvgLlavaTokens(plan, config, choice);
      const tokens = mostTokens(options);
      const planned = options.allowed.find((option) => option.tokens === tokens);
      const granularity = planned?.granularity ?? tokensPerView(config);
      const V = plan.views.length;
      runs.push({ graph: vision(), bindings: { V }, times, part: "vision" });
      const graph = options.chosenBy === "router" ? router() : undefined;
      if (graph) runs.push({ graph, bindings: { V, L: textTokens }, times, part: "router" });
      const pool = granularity === tokensPerView(config) ? undefined : pools.get(granularity);
      if (pool) runs.push({ graph: pool(), bindings: { V }, times, part: "compression" });
      rows += times * V * granularity;
      visualTokens += times * tokens;
    }
    const sides = { L: textTokens + media.length, M: rows, T: textTokens + visualTokens };
    runs.push({ graph: splice(), bindings: sides, times: 1, part: "prefill" });
    return { visualTokens, runs };
  };
};
