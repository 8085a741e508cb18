import { GraphError } from "../errors.js";
import type { ImagePlan } from "../image/view-plan.js";
import { int64, type TensorData } from "../tensor-data.js";
import {
  type AvgLlavaParams,
  avgLlavaPoolGraph,
  avgLlavaRouterGraph,
  mostTokens,
  planAvgLlavaTokens,
  planGranularTokens,
} from "./avg-llava.js";
import type { AvgLlavaConfig } from "./avg-llava-config.js";
import { type Encoder, type EncoderContext, type OpenGraph, openLazily } from "./encoder.js";
import { createLlavaEncoder, type ImageReduction } from "./llava-encoder.js";
import type { TokenOption, TokenRoute } from "./token-choice.js";

const softmax = (logits: readonly number[]): number[] => {
  const top = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - top));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
};

/** The allowed option with the largest logit, the first where several have it. */
const chooseOption = (
  all: readonly TokenOption[],
  allowed: readonly TokenOption[],
  logits: readonly number[],
): TokenOption => {
  const logitOf = (option: TokenOption): number => logits[all.indexOf(option)];
  return allowed.reduce((best, option) => (logitOf(option) > logitOf(best) ? option : best));
};

/** Pools an image's tokens to what was asked for, or to what the router chooses for the prompt. */
const createReduction = (
  params: AvgLlavaParams,
  config: AvgLlavaConfig,
  open: OpenGraph,
): ImageReduction => {
  const { granularities } = config;
  const finest = granularities[granularities.length - 1];
  const router = openLazily(open, () => {
    const graph = avgLlavaRouterGraph(params, config);
    if (graph === undefined) {
      throw new GraphError("avg-llava: this model has no router; nothing may ask for one");
    }
    return graph;
  });
  const pools = new Map(
    granularities.map((granularity) => [
      granularity.tokens,
      openLazily(open, () => avgLlavaPoolGraph(config, granularity)),
    ]),
  );
  const tokenOptions = (plan: ImagePlan, choice = {}) => planAvgLlavaTokens(plan, config, choice);

  const askRouter = async (tokens: TensorData, textIds: readonly number[]): Promise<number[]> => {
    const { logits } = await (await router()).run({
      tokens,
      // A router that does not look at the instruction has no such input.
      ...(config.router?.filteredTokens !== 0 && { ids: int64([textIds.length], textIds) }),
    });
    return Array.from(logits.data, Number);
  };

  return {
    tokenOptions,
    count: (plan, choice) => mostTokens(tokenOptions(plan, choice)),
    layOut: async ({ tokens, plan, textIds, choice }) => {
      const { all, allowed, chosenBy } = tokenOptions(plan, choice);
      let route: TokenRoute = { ...allowed[allowed.length - 1], chosenBy };
      let routerMs: number | undefined;
      if (chosenBy === "router") {
        const startedMs = performance.now();
        const logits = await askRouter(tokens, textIds);
        routerMs = performance.now() - startedMs;
        const option = chooseOption(all, allowed, logits);
        route = { ...option, chosenBy, logits, probabilities: softmax(logits) };
      }
      const chosen = granularities.find(({ tokens: count }) => count === route.granularity);
      const granularity = chosen ?? finest;
      const isWhole = granularity.tokens === tokens.shape[1];
      const pool = pools.get(granularity.tokens);
      const pooled =
        isWhole || pool === undefined ? tokens : (await (await pool()).run({ tokens })).pooled;
      return {
        tokens: pooled,
        layout: planGranularTokens(plan, granularity, config),
        route,
        ...(routerMs !== undefined && { routerMs }),
      };
    },
  };
};

/** AVG-LLaVA: LLaVA-NeXT with the granularity of each image, or frame, chosen when it is read. */
export const createAvgLlavaEncoder = (
  params: AvgLlavaParams,
  config: AvgLlavaConfig,
  context: EncoderContext,
): Encoder =>
  createLlavaEncoder(params, config, context, {
    reduction: createReduction(params, config, context.open),
    readsAnswers: config.variant.earlierAnswers === "read",
  });
