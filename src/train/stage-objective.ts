/** What a stage minimises: a loss over a batch's forward pass, and what its mean is over. */
import { OptionsError } from "../errors.js";
import {
  add,
  cast,
  concat,
  constant,
  greater,
  multiply,
  reshape,
  scalar,
  type Tensor,
} from "../graph/index.js";
import { listParameters } from "../nn/parameter-scope.js";
import {
  type BatchForward,
  type BatchForwardOptions,
  createBatchForward,
} from "../systems/batch-forward.js";
import type { ImageBatchShape } from "../systems/image-batch-forward.js";
import { isAvgLlava } from "../systems/image-layouts.js";
import type { LabelledBatch } from "../systems/labelled-batch.js";
import type { LlavaParams } from "../systems/llava.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import { float32, type TensorData } from "../tensor-data.js";
import { granularityRankingLoss, type RankingOptions } from "./granularity-ranking-loss.js";
import { ignoredLabel, nextTokenLoss, nextTokenLossByRow } from "./next-token-loss.js";

export const objectiveNames = [
  "next-token",
  "every-granularity",
  "granularity-ranking",
  "print",
] as const;

/**
 * `next-token`: the answers' tokens, at the finest granularity where there are several.
 * `every-granularity`: the mean of that over all granularities (AVG-LLaVA's stage 3).
 * `granularity-ranking`: the router, ranked by the model's own losses (AVG-LLaVA's stage 4); the
 * language model reads each image at every granularity, and nothing but the router may train.
 * `print`: the vision tower of LLaVA-UHD v4 tells the characters at each place of its patches
 * (`systems/print-reading.ts`); the language model is not run.
 */
export type ObjectiveName = (typeof objectiveNames)[number];

export type StageObjective = {
  readonly params: LlavaParams;
  /** The loss for one batch shape. */
  open(shape: ImageBatchShape): ObjectivePass;
  /** What a batch's mean is over: supervised tokens, or ranked samples. */
  countUnits(batch: LabelledBatch): number;
};

export type ObjectivePass = {
  readonly loss: Tensor;
  /** Places of the language model in all readings. */
  readonly numPlaces: number;
  /** Named parts of the loss, for who looks closer. */
  readonly parts: Readonly<Record<string, Tensor>>;
  feeds(batch: LabelledBatch): Record<string, TensorData>;
};

export type ObjectiveOptions = Pick<
  BatchForwardOptions,
  "isFed" | "adapterOf" | "trainsEmbeddings" | "taps"
> & {
  readonly objective?: ObjectiveName;
  /** Where they differ from the model's config. */
  readonly ranking?: Partial<Omit<RankingOptions, "prices">> & {
    /** Ours: nats that the tokens of the finest granularity cost, those of others in proportion; default 0. */
    readonly tokenPrice?: number;
  };
};

const isSupervised = (label: number): boolean => label !== ignoredLabel;

/** A place is judged by the label after it, so that a sample's first label does not count. */
const countTokens = ({ labels }: LabelledBatch): number =>
  labels.flatMap((row) => row.slice(1)).filter(isSupervised).length;

const countAnswered = ({ labels, pixels }: LabelledBatch): number =>
  pixels === undefined ? 0 : labels.filter((row) => row.slice(1).some(isSupervised)).length;

const meanOf = (tensors: readonly Tensor[]): Tensor =>
  multiply(
    tensors.reduce((left, right) => add(left, right)),
    scalar(1 / tensors.length),
  );

const rankingPass = (
  { passes, routed }: BatchForward,
  options: RankingOptions,
): Pick<ObjectivePass, "loss" | "parts"> => {
  // Without an image there is nothing to choose.
  if (routed === undefined) return { loss: constant(float32([], [0])), parts: {} };
  const { logits, rows } = routed;
  const [batch] = logits.shape.map(Number);
  const byRow = passes.map(({ scores, judged }) => nextTokenLossByRow(scores, judged, rows, batch));
  const losses = concat(
    byRow.map(({ means }) => reshape(means, [batch, 1])),
    1,
  );
  const counts = cast(greater(byRow[0].totals, scalar(0)), "float32");
  const { total, rank, crossEntropy } = granularityRankingLoss({ logits, losses, counts }, options);
  return { loss: total, parts: { logits, losses, rank, crossEntropy } };
};

/** The router's input passes through other parameters: they would learn to please it. */
const checkRouterAlone = (
  config: LlavaConfig,
  isFed: (name: string) => boolean = () => false,
): void => {
  const names = [...listParameters(createBatchForward(config).params).keys()];
  const other = names.find((name) => isFed(name) && !name.startsWith("router."));
  if (other !== undefined) {
    throw new OptionsError(
      `createObjective: "granularity-ranking" trains the router alone, got "${other}" too; train "router.**"`,
    );
  }
};

/** Throws `OptionsError` for an objective that the model's system cannot have. */
export const createObjective = (
  config: LlavaConfig,
  { objective = "next-token", ranking = {}, ...options }: ObjectiveOptions = {},
): StageObjective => {
  const avg = isAvgLlava(config) ? config : undefined;
  if (objective === "print") {
    throw new OptionsError(
      `createObjective: "print" needs a model that takes images in slices, got ${config.system}; start from a LLaVA-UHD v4 folder`,
    );
  }
  if (objective !== "next-token" && avg === undefined) {
    throw new OptionsError(
      `createObjective: "${objective}" needs a model with granularities, got ${config.system}; set vis_token_granularity in its config`,
    );
  }
  const ranks = objective === "granularity-ranking";
  if (ranks && avg?.router === undefined) {
    throw new OptionsError(
      'createObjective: "granularity-ranking" trains a router, which the model does not have; set router_select in its config and initialise "router.**"',
    );
  }
  if (ranks) checkRouterAlone(config, options.isFed);
  const { params, forward } = createBatchForward(config, {
    ...options,
    granularities: objective === "next-token" ? "finest" : "all",
    routes: ranks,
  });
  const lossOf = (pass: BatchForward): Pick<ObjectivePass, "loss" | "parts"> => {
    if (ranks && avg !== undefined) {
      const { tokenPrice = 0, ...weights } = ranking;
      const finest = avg.granularities[avg.granularities.length - 1];
      const prices = avg.granularities.map(({ tokens }) => (tokenPrice * tokens) / finest.tokens);
      return rankingPass(pass, {
        form: "released",
        ...avg.ranking,
        ...weights,
        ...(tokenPrice > 0 && { prices }),
      });
    }
    const means = pass.passes.map(({ scores, judged }) => nextTokenLoss(scores, judged));
    return {
      loss: meanOf(means),
      parts: Object.fromEntries(means.map((mean, index) => [`mean.${index}`, mean])),
    };
  };
  return {
    params,
    open: (shape) => {
      const pass = forward(shape);
      const numPlaces = pass.passes.reduce((places, { numPlaces }) => places + numPlaces, 0);
      const readsBatch = !ranks || pass.routed !== undefined;
      return { ...lossOf(pass), numPlaces, feeds: readsBatch ? pass.feeds : () => ({}) };
    },
    countUnits: ranks ? countAnswered : countTokens,
  };
};
