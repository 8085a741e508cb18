/**
 * AVG-LLaVA (Lan et al. 2024, arXiv 2410.02745): LLaVA-NeXT whose views are pooled to one of several
 * granularities, the same for all views of an image, which a router chooses for each question.
 */
import { createGraph, type Graph, input, reshape, type Tensor } from "../graph/index.js";
import type { ImagePlan } from "../image/view-plan.js";
import { embedTokens } from "../language/llama.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type GranularityRouterParams,
  granularityRouter,
  granularityRouterNames,
  granularityRouterParams,
} from "../reduce/granularity-router.js";
import { type Granularity, granularityScaler } from "../reduce/granularity-scaler.js";
import type { AvgLlavaConfig } from "./avg-llava-config.js";
import { type LlavaParams, llavaNames, llavaParams } from "./llava.js";
import { viewGrid } from "./llava-config.js";
import { planSpatialUnpad } from "./llava-next.js";
import {
  planTokenOptions,
  type TokenChoice,
  type TokenOption,
  type TokenOptions,
} from "./token-choice.js";

export type AvgLlavaParams = LlavaParams & {
  /** Absent in models without a router. */
  readonly router?: GranularityRouterParams;
};

export const avgLlavaParams = (scope: ParameterScope, config: AvgLlavaConfig): AvgLlavaParams => ({
  ...llavaParams(scope, config),
  ...(config.router && { router: granularityRouterParams(scope.child("router"), config.router) }),
});

export const avgLlavaNames = (config: AvgLlavaConfig): readonly (readonly [string, string])[] => [
  ...llavaNames(config).filter(
    ([own]) => own !== "imageNewline" || config.mergeType === "spatial_unpad",
  ),
  ...(config.router === undefined
    ? []
    : granularityRouterNames.map(
        ([own, published]) => [`router.${own}`, `model.router.${published}`] as const,
      )),
];

/**
 * Rows of `[V·g]` pooled tokens in the order in which an image enters the language model at one
 * granularity. An image that is not tiled ends with a newline only where images are tiled as a rule, as
 * in the released code, which tells the two by how the pixels come.
 */
export const planGranularTokens = (
  plan: ImagePlan,
  { tokens, grid }: Granularity,
  { mergeType, imageMode, variant }: Pick<AvgLlavaConfig, "mergeType" | "imageMode" | "variant">,
): number[] =>
  mergeType === "spatial_unpad" && (plan.views.length > 1 || imageMode.aspect === "anyres")
    ? planSpatialUnpad(plan, grid, variant.unpadAspect)
    : Array.from({ length: plan.views.length * tokens }, (_, index) => index);

/** Tokens of an image of this plan at every granularity, and what a choice leaves of them. */
export const planAvgLlavaTokens = (
  plan: ImagePlan,
  config: AvgLlavaConfig,
  choice: TokenChoice = {},
): TokenOptions => {
  const all: TokenOption[] = config.granularities.map((granularity) => ({
    granularity: granularity.tokens,
    tokens: planGranularTokens(plan, granularity, config).length,
  }));
  return planTokenOptions(all, choice, config.router !== undefined);
};

/** Most tokens that options allow. */
export const mostTokens = ({ allowed }: TokenOptions): number =>
  Math.max(...allowed.map(({ tokens }) => tokens));

/** Logits of the granularities for one image, [1, E]. tokens [V, N, D], ids [L] int64 of the text. */
export const routeImage = (
  params: AvgLlavaParams,
  { tokens, ids }: { readonly tokens: Tensor; readonly ids: Tensor },
  { router: config }: AvgLlavaConfig,
  taps?: Taps,
): Tensor | undefined => {
  const [views, perView, width] = tokens.shape;
  if (params.router === undefined || config === undefined) return undefined;
  return granularityRouter(
    params.router,
    {
      views: reshape(tokens, [1, views, perView, width]),
      text: reshape(embedTokens(params.language, ids), [1, ids.shape[0], width]),
    },
    config,
    taps,
  );
};

/** The router as a graph: tokens [V, N, D] and text ids [L] to logits [1, E]; none without a router. */
export const avgLlavaRouterGraph = (
  params: AvgLlavaParams,
  config: AvgLlavaConfig,
): Graph | undefined => {
  const grid = viewGrid(config);
  const tokens = input("tokens", "float32", ["V", grid.rows * grid.columns, config.language.width]);
  const ids = input("ids", "int64", ["L"]);
  const logits = routeImage(params, { tokens, ids }, config);
  return logits && createGraph("avg-llava.router", { logits });
};

/** The scaler as a graph: tokens [V, N, D] to [V, g, D]. */
export const avgLlavaPoolGraph = (config: AvgLlavaConfig, granularity: Granularity): Graph => {
  const grid = viewGrid(config);
  const tokens = input("tokens", "float32", ["V", grid.rows * grid.columns, config.language.width]);
  const [pooled] = granularityScaler(tokens, grid, [granularity]);
  return createGraph(`avg-llava.pool.${granularity.tokens}`, { pooled });
};
