import { OptionsError } from "../errors.js";
import { createGraph, type Graph, input } from "../graph/index.js";
import { postNormLayer } from "../nn/post-norm-layer.js";
import {
  granularityRouterHeads,
  granularityVotes,
  numRouterSlots,
} from "../reduce/granularity-router.js";
import {
  type AvgLlavaParams,
  avgLlavaPoolGraph,
  avgLlavaRouterGraph,
  planAvgLlavaTokens,
} from "./avg-llava.js";
import type { AvgLlavaConfig } from "./avg-llava-config.js";
import { tokensPerView } from "./llava-config.js";
import { llavaSpliceGraph, llavaVisionGraph } from "./llava-graphs.js";
import { billedConfig } from "./llava-runs.js";
import { type Billing, type GraphRun, onceNeeded, type RunPlanner } from "./run-plan.js";
import type { TokenOption, TokenOptions } from "./token-choice.js";

/** The released router's layers: all slots in every view, those of the text as well. */
const everySlotGraph = (
  { router: params }: AvgLlavaParams,
  { router: config }: AvgLlavaConfig,
): Graph | undefined => {
  if (params === undefined || config === undefined) return undefined;
  const slots = input("slots", "float32", [numRouterSlots(config), "V", config.width]);
  const encoded = postNormLayer(params.layer, slots, { numHeads: granularityRouterHeads });
  return createGraph("avg-llava.router.every-slot", { votes: granularityVotes(params, encoded) });
};

/** What is planned of the options that are left: the routed one, or the one with the most tokens. */
const plannedOption = ({ allowed, chosenBy }: TokenOptions, routed?: number): TokenOption => {
  if (routed === undefined || chosenBy !== "router") {
    return allowed.reduce((most, option) => (option.tokens >= most.tokens ? option : most));
  }
  const found = allowed.find(({ granularity }) => granularity === routed);
  if (found !== undefined) return found;
  throw new OptionsError(
    `planRuns: the router chooses one of ${allowed.map(({ granularity }) => granularity).join(", ")}, got ${routed}`,
  );
};

/**
 * AVG-LLaVA: for each frame vision, the router where it is asked, and the pooling; then one splice.
 * What the router chooses is not known before it runs: unless the request supposes one, the most
 * tokens that it may choose are planned.
 */
export const createAvgLlavaRunPlanner = (
  params: AvgLlavaParams,
  config: AvgLlavaConfig,
  billing: Billing,
): RunPlanner => {
  const vision = onceNeeded(() => llavaVisionGraph(params, billedConfig(config, billing)));
  const router = onceNeeded(() =>
    billing.sharedSlots === "once"
      ? avgLlavaRouterGraph(params, config)
      : everySlotGraph(params, config),
  );
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
    for (const { plan, numFrames: times, choice, routed } of media) {
      const options = planAvgLlavaTokens(plan, config, choice);
      const { granularity, tokens } = plannedOption(options, routed);
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
