import { z } from "zod";
import { ModelConfigError, OptionsError } from "../errors.js";
import { checkRouter, type GranularityRouterConfig } from "../reduce/granularity-router.js";
import { type Granularity, planGranularities } from "../reduce/granularity-scaler.js";
import { type LlavaConfig, parseLlavaConfig, viewGrid } from "./llava-config.js";

/**
 * Where AVG-LLaVA's released code departs from its paper or from what was meant. Released weights need
 * `releasedAvgLlava`, the default; `fixedAvgLlava` is for models trained from scratch.
 */
export type AvgLlavaVariant = {
  /**
   * Whose aspect unpadding goes by: the pooled lattice's (released), which cuts half of the content at
   * 288 and 72 tokens, where cells are not square; or the tile grid's.
   */
  readonly unpadAspect: "lattice" | "tiles";
  /** What the router's layer attends over: the views of a slot (released), or a view's slots (paper). */
  readonly routerAttention: GranularityRouterConfig["attention"];
  /**
   * Whether the router reads the model's earlier answers as part of the instruction (released
   * inference), or not (as in its training).
   */
  readonly earlierAnswers: "read" | "left-out";
};

export const releasedAvgLlava: AvgLlavaVariant = {
  unpadAspect: "lattice",
  routerAttention: "views",
  earlierAnswers: "read",
};

export const fixedAvgLlava: AvgLlavaVariant = {
  unpadAspect: "tiles",
  routerAttention: "tokens",
  earlierAnswers: "left-out",
};

/** How the router is trained from the model's own feedback (section 3.3 of the paper). */
export type RankingWeights = {
  /** Factor of the difference in log-likelihood that a difference in score is held against. */
  readonly margin: number;
  readonly rankWeight: number;
  readonly crossEntropyWeight: number;
};

export type AvgLlavaConfig = LlavaConfig & {
  readonly system: "avg-llava";
  /** Coarsest first. */
  readonly granularities: readonly Granularity[];
  /** Absent after stage 3, where every granularity is trained and none is chosen. */
  readonly router?: GranularityRouterConfig;
  readonly ranking: RankingWeights;
  readonly variant: AvgLlavaVariant;
};

const fields = z.object({
  vis_token_granularity: z.array(z.number()),
  router_select: z.boolean().default(false),
  filtered_text_num: z.int().default(32),
  margin: z.number().nonnegative().default(0.1),
  rank_loss_weight: z.number().nonnegative().default(1),
  ce_loss_weight: z.number().nonnegative().default(1),
  /** Ours: a model trained in the fixed variant says so. */
  avg_llava_variant: z.enum(["released", "fixed"]).default("released"),
});

/** What does not fit a config is the config's fault. */
const asConfigError = <Result>(plan: () => Result): Result => {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof OptionsError)) throw error;
    throw new ModelConfigError(`parseAvgLlavaConfig: ${error.message}`, { cause: error });
  }
};

/**
 * Reads a LLaVA config with `vis_token_granularity`; `variant` wins over the one that the config names.
 * Throws `ModelConfigError` for granularities that are not ascending or do not divide a view's grid, and
 * for systems that a router cannot stand behind.
 */
export const parseAvgLlavaConfig = (
  config: unknown,
  towerConfig?: unknown,
  variant?: AvgLlavaVariant,
): AvgLlavaConfig => {
  const llava = parseLlavaConfig(config, towerConfig);
  const parsed = fields.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseAvgLlavaConfig: ${z.prettifyError(parsed.error)}`);
  }
  if (llava.keepsClassToken) {
    throw new ModelConfigError(
      "parseAvgLlavaConfig: granularities pool a grid of patches, got mm_vision_select_feature cls_patch, whose class token has no place in it; select patch",
    );
  }
  const grid = viewGrid(llava);
  const published = parsed.data;
  const chosen =
    variant ?? (published.avg_llava_variant === "fixed" ? fixedAvgLlava : releasedAvgLlava);
  return asConfigError(() => {
    const granularities = planGranularities(published.vis_token_granularity, grid);
    const router: GranularityRouterConfig = {
      width: llava.language.width,
      grid,
      granularities,
      filteredTokens: published.filtered_text_num,
      attention: chosen.routerAttention,
    };
    if (published.router_select) checkRouter(router);
    return {
      ...llava,
      system: "avg-llava",
      granularities,
      ...(published.router_select && { router }),
      ranking: {
        margin: published.margin,
        rankWeight: published.rank_loss_weight,
        crossEntropyWeight: published.ce_loss_weight,
      },
      variant: chosen,
    };
  });
};
