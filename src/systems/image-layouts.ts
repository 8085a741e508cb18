/** How images of any size lie in a prompt, at each granularity that a system has, and at most. */
import { PromptError } from "../errors.js";
import { clipConfig } from "../image/clip-config.js";
import type { Size } from "../image/image.js";
import { planViews } from "../image/image-mode.js";
import type { ImagePlan } from "../image/view-plan.js";
import type { Granularity } from "../reduce/granularity-scaler.js";
import { planGranularTokens } from "./avg-llava.js";
import type { AvgLlavaConfig } from "./avg-llava-config.js";
import { type LlavaConfig, tokensPerView, viewGrid } from "./llava-config.js";
import { planImageTokens } from "./llava-encoder.js";

export const isAvgLlava = (config: LlavaConfig): config is AvgLlavaConfig =>
  config.system === "avg-llava";

export type ImageLayout = {
  /** Tokens of a view. */
  readonly tokensPerView: number;
  /** What views are pooled to; absent where all tokens are kept. */
  readonly pooled?: Granularity;
  /** Rows of `[V · tokensPerView]` in order; `newlineIndex` is the newline. */
  readonly rowsOf: (plan: ImagePlan) => number[];
  /** Rows of the largest image. */
  readonly mostRows: number;
};

/** Sizes of images that make the most views: each pinpoint, filled. */
const fullSizes = ({ imageMode, vision }: LlavaConfig): readonly Size[] =>
  imageMode.aspect === "anyres"
    ? imageMode.pinpoints
    : [{ width: vision.imageSizePx, height: vision.imageSizePx }];

const plansOf = (config: LlavaConfig): ImagePlan[] =>
  fullSizes(config).map((size) =>
    planViews(size, clipConfig(config.vision.imageSizePx), config.imageMode),
  );

/** Most views of an image. */
export const mostViews = (config: LlavaConfig): number =>
  Math.max(...plansOf(config).map(({ views }) => views.length));

/** Rows of an image of which nothing is cut: the whole, and every row of the lattice with its newline. */
const uncutRows = ({ grid, views }: ImagePlan, { tokens, grid: view }: Granularity): number =>
  grid.rows * grid.columns === 0
    ? views.length * tokens + 1
    : tokens + grid.rows * view.rows * (grid.columns * view.columns + 1);

/** The ways in which a system lays out images: one for each granularity, coarsest first, or the only one. */
export const imageLayouts = (config: LlavaConfig): ImageLayout[] => {
  const plans = plansOf(config);
  const perView = tokensPerView(config);
  const most = (granularity: Granularity): number =>
    config.mergeType === "flat"
      ? Math.max(...plans.map(({ views }) => views.length * granularity.tokens))
      : Math.max(...plans.map((plan) => uncutRows(plan, granularity)));
  if (!isAvgLlava(config)) {
    const whole = { tokens: perView, grid: viewGrid(config) };
    return [
      {
        tokensPerView: perView,
        rowsOf: (plan) => planImageTokens(plan, config),
        mostRows: most(whole),
      },
    ];
  }
  return config.granularities.map((granularity) => ({
    tokensPerView: granularity.tokens,
    ...(granularity.tokens < perView && { pooled: granularity }),
    rowsOf: (plan) => planGranularTokens(plan, granularity, config),
    mostRows: most(granularity),
  }));
};

/** The plan of a sample's image; systems with one view to an image need not be told. */
export const planOfSample = (
  plans: readonly ImagePlan[] | undefined,
  sample: number,
  config: LlavaConfig,
): ImagePlan => {
  const plan = plans?.[sample];
  if (plan !== undefined) return plan;
  if (config.imageMode.aspect === "anyres") {
    throw new PromptError(
      `feeds: images in tiles lie as their plans say, got none for sample ${sample}; give plans with the pixels`,
    );
  }
  return plansOf(config)[0];
};
