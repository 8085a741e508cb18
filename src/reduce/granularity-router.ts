/**
 * AVG-LLaVA's router (Lan et al. 2024, arXiv 2410.02745, section 3.2): it sees an image at every
 * granularity beside the instruction and votes for one.
 *
 * Released code against paper: the Transformer layer attends over the views of one slot and not over
 * the slots of a view (`batch_first` was left out), so that no token sees another and text slots are
 * the same in every view: they are computed once. The logits pass a norm that the paper does not
 * mention. Training had a dropout of 0.1 in the layer; there is none here.
 */
import { OptionsError } from "../errors.js";
import {
  add,
  broadcast,
  cast,
  concat,
  constant,
  divide,
  gelu,
  layerNorm,
  maximum,
  mean,
  multiply,
  multiplyDims,
  normal,
  reshape,
  scalar,
  slice,
  sum,
  type Tensor,
  transpose,
  zeros,
} from "../graph/index.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import { applyLinear, type LinearParams } from "../nn/linear.js";
import { type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import {
  type PostNormLayerParams,
  postNormLayer,
  postNormLayerNames,
  postNormLayerParams,
  projectInput,
} from "../nn/post-norm-layer.js";
import type { Taps } from "../nn/taps.js";
import { bool } from "../tensor-data.js";
import { type Granularity, granularityScaler, type TokenGrid } from "./granularity-scaler.js";
import { textFilter } from "./text-filter.js";

export type GranularityRouterConfig = {
  /** Of visual tokens and text alike. */
  readonly width: number;
  /** Grid of a view's tokens, before any pooling. */
  readonly grid: TokenGrid;
  /** What there is to choose among, coarsest first. */
  readonly granularities: readonly Granularity[];
  /** k: text tokens that are looked at; 0 for a router without instruction, the paper's ablation. */
  readonly filteredTokens: number;
  /** `views`: slot by slot over the views (released); `tokens`: over the slots of a view (paper). */
  readonly attention: "views" | "tokens";
};

/** Heads of the released layer; not configurable there. */
export const granularityRouterHeads = 8;
const normEpsilon = 1e-5;

export type GranularityRouterParams = {
  readonly layer: PostNormLayerParams;
  readonly mlp: { readonly up: LinearParams; readonly down: LinearParams }; // [D, D], [E, D]
  /** Weight of each slot's vote, [slots, 1]. */
  readonly voter: Tensor;
  readonly norm: LayerNormParams; // [E]
};

/** Slots of a view that are patches, at all granularities together. */
const numVisualSlots = ({ granularities }: GranularityRouterConfig): number =>
  granularities.reduce((slots, { tokens }) => slots + tokens, 0);

/** All slots of a view: every granularity's tokens, coarsest first, then the text. */
export const numRouterSlots = (config: GranularityRouterConfig): number =>
  numVisualSlots(config) + config.filteredTokens;

/**
 * Throws `OptionsError` where a router makes no sense: nothing to choose, no text place, heads that do
 * not divide the width.
 */
export const checkRouter = (config: GranularityRouterConfig): void => {
  const { granularities, filteredTokens, width } = config;
  if (granularities.length < 2) {
    throw new OptionsError(
      `granularityRouter: there must be two granularities or more to choose among, got ${granularities.map(({ tokens }) => tokens).join(", ") || "none"}; list more, or leave the router out`,
    );
  }
  if (!Number.isInteger(filteredTokens) || filteredTokens < 0) {
    throw new OptionsError(
      `granularityRouter: the number of text tokens to look at must be a whole number from 0 on, got ${filteredTokens}; correct filtered_text_num`,
    );
  }
  if (width % granularityRouterHeads !== 0) {
    throw new OptionsError(
      `granularityRouter: width must divide into ${granularityRouterHeads} heads, got ${width}`,
    );
  }
};

export const granularityRouterParams = (
  scope: ParameterScope,
  config: GranularityRouterConfig,
): GranularityRouterParams => {
  checkRouter(config);
  const { width, granularities } = config;
  const numChoices = granularities.length;
  // Kaiming-normal, as released.
  const started = (name: string, out: number): LinearParams => ({
    weight: scope.parameter(`${name}.weight`, [out, width], normal(Math.sqrt(2 / width))),
    bias: scope.parameter(`${name}.bias`, [out], zeros),
  });
  return {
    layer: postNormLayerParams(scope.child("layer"), width, width),
    mlp: { up: started("mlp.up", width), down: started("mlp.down", numChoices) },
    voter: scope.parameter("voter", [numRouterSlots(config), 1], normal(1)),
    norm: layerNormParams(scope.child("norm"), numChoices),
  };
};

export type GranularityRouterInput = {
  /** Tokens of every view, the whole image first, [B, V, N, D]. */
  readonly views: Tensor;
  /** Token embeddings of the instruction, without positions, [B, T, D]. */
  readonly text: Tensor;
  /** Places of `text` that count, [B, T] bool; all when absent. */
  readonly textMask?: Tensor;
  /** Views that are there, [B, V] bool; all when absent. */
  readonly viewMask?: Tensor;
};

/** What every slot votes for. x [..., D] → [..., E]. */
export const granularityVotes = (params: GranularityRouterParams, x: Tensor): Tensor =>
  applyLinear(params.mlp.down, gelu(applyLinear(params.mlp.up, x)));

/** Votes weighed and summed over slots. votes [B, V or 1, slots, E] → [B, V or 1, E]. */
const tally = (votes: Tensor, voter: Tensor): Tensor => sum(multiply(votes, voter), [2]);

type Slots = {
  readonly visual: Tensor; // [B, V, slots, D]
  readonly projected: Tensor; // [B, V, slots, 3*D]
  /** Absent for a router that does not look at the instruction. */
  readonly filtered?: {
    readonly text: Tensor; // [B, k, D]
    readonly isToken: Tensor; // [B, k, 1] bool
  };
};

/** Released: slots see their like in the other views. Returns each view's sum of votes, [B, V, E]. */
const tallyByViews = (
  params: GranularityRouterParams,
  { visual, projected, filtered }: Slots,
  viewMask: Tensor | undefined, // [B, V] bool
  config: GranularityRouterConfig,
  taps?: Taps,
): Tensor => {
  const [batch, views, slots] = visual.shape;
  const numHeads = granularityRouterHeads;
  const rows = multiplyDims(batch, slots);
  const bySlot = (x: Tensor): Tensor =>
    reshape(transpose(x, [0, 2, 1, 3]), [rows, views, x.shape[3]]);
  // The same mask for every slot of a sample.
  const mask = viewMask && broadcast(reshape(viewMask, [batch, 1, views]), [batch, slots, views]);
  const encoded = postNormLayer(params.layer, bySlot(visual), {
    numHeads,
    projected: bySlot(projected),
    ...(mask && { bias: keyMaskBias(reshape(mask, [rows, views])) }),
  });
  const byView = (x: Tensor): Tensor =>
    transpose(reshape(x, [batch, slots, views, -1]), [0, 2, 1, 3]);
  const votes = byView(granularityVotes(params, encoded));
  taps?.add("visual.encoded", byView(encoded));
  taps?.add("visual.votes", votes);
  const voterOf = (from: number, to: number): Tensor => slice(params.voter, 0, from, to);
  const visualSum = tally(votes, voterOf(0, Number(slots)));
  if (filtered === undefined) return visualSum;
  const encodedText = postNormLayer(params.layer, filtered.text, {
    numHeads,
    seesOnlyItself: true,
  });
  const textVotes = reshape(granularityVotes(params, encodedText), [
    batch,
    1,
    config.filteredTokens,
    -1,
  ]);
  taps?.add("text.encoded", encodedText);
  taps?.add("text.votes", textVotes);
  return add(visualSum, tally(textVotes, voterOf(Number(slots), numRouterSlots(config))));
};

/** Paper: the slots of a view see each other, text among them. Returns sums of votes, [B, V, E]. */
const tallyByTokens = (
  params: GranularityRouterParams,
  { visual, projected, filtered }: Slots,
  config: GranularityRouterConfig,
): Tensor => {
  const [batch, views, visualSlots] = visual.shape;
  const { filteredTokens } = config;
  const slots = numRouterSlots(config);
  const rows = multiplyDims(batch, views);
  const byView = (x: Tensor): Tensor => reshape(x, [rows, slots, x.shape[3]]);
  const encode = (all: Tensor, allProjected: Tensor, mask?: Tensor): Tensor =>
    postNormLayer(params.layer, byView(all), {
      numHeads: granularityRouterHeads,
      projected: byView(allProjected),
      ...(mask && { bias: keyMaskBias(reshape(mask, [rows, slots])) }),
    });
  const encodeWithText = ({ text, isToken }: NonNullable<Slots["filtered"]>): Tensor => {
    const ofViews = (x: Tensor): Tensor =>
      broadcast(reshape(x, [batch, 1, filteredTokens, x.shape[2]]), [
        batch,
        views,
        filteredTokens,
        x.shape[2],
      ]);
    const seesPatches = constant(bool([1, 1, 1], [true]));
    const mask = concat(
      [
        broadcast(seesPatches, [batch, views, visualSlots]),
        broadcast(reshape(isToken, [batch, 1, filteredTokens]), [batch, views, filteredTokens]),
      ],
      2,
    );
    return encode(
      concat([visual, ofViews(text)], 2),
      concat([projected, ofViews(projectInput(params.layer, text))], 2),
      mask,
    );
  };
  const encoded = filtered === undefined ? encode(visual, projected) : encodeWithText(filtered);
  return tally(reshape(granularityVotes(params, encoded), [batch, views, slots, -1]), params.voter);
};

/**
 * Queries, keys and values of every slot, [B, V, slots, 3*D]. Averaging and projecting may change places: the slots of all
 * granularities (1,116 of the released model's views) then cost no more products than the tokens of the finest (576).
 */
const projectSlots = (
  { layer }: GranularityRouterParams,
  views: Tensor,
  visual: Tensor,
  config: GranularityRouterConfig,
): Tensor => {
  const { grid, granularities } = config;
  if (numVisualSlots(config) <= grid.rows * grid.columns) return projectInput(layer, visual);
  return concat(granularityScaler(projectInput(layer, views), grid, granularities), 2);
};

/** Mean over the views that are there. x [B, V, E] → [B, E]. */
const meanOverViews = (x: Tensor, viewMask: Tensor | undefined): Tensor => {
  if (viewMask === undefined) return mean(x, [1]);
  const [batch, views] = viewMask.shape;
  const weights = cast(reshape(viewMask, [batch, views, 1]), "float32");
  return divide(sum(multiply(x, weights), [1]), maximum(sum(weights, [1]), scalar(1)));
};

/**
 * Logits of the granularities, coarsest first: [B, E]. The choice is the first of the largest; all
 * views of an image share it. Throws `ShapeError` where views and text differ in width.
 */
export const granularityRouter = (
  params: GranularityRouterParams,
  { views, text, textMask, viewMask }: GranularityRouterInput,
  config: GranularityRouterConfig,
  taps?: Taps,
): Tensor => {
  const [batch, , numTokens, width] = views.shape;
  const whole = reshape(slice(views, 1, 0, 1), [batch, numTokens, width]);
  const filtered =
    config.filteredTokens === 0
      ? undefined
      : textFilter(
          { patches: whole, text, ...(textMask && { textMask }) },
          config.filteredTokens,
          taps?.under("text"),
        );
  const pooled = granularityScaler(views, config.grid, config.granularities);
  config.granularities.forEach(({ tokens }, index) => {
    taps?.add(`pooled.${tokens}`, pooled[index]);
  });
  const visual = concat(pooled, 2);
  const slots = {
    visual,
    projected: projectSlots(params, views, visual, config),
    ...(filtered && { filtered }),
  };
  taps?.add("visual.input", slots.visual);
  const sums =
    config.attention === "views"
      ? tallyByViews(params, slots, viewMask, config, taps)
      : tallyByTokens(params, slots, config);
  const logits = meanOverViews(sums, viewMask);
  taps?.add("logitsBeforeNorm", logits);
  return layerNorm(logits, params.norm.weight, params.norm.bias, normEpsilon);
};

/** Published names, below `model.router.`. */
export const granularityRouterNames: readonly (readonly [string, string])[] = [
  ...postNormLayerNames.map(([own, published]) => [`layer.${own}`, `merger.${published}`] as const),
  ["mlp.up", "router.0"],
  ["mlp.down", "router.2"],
  ["voter", "voter"],
  ["norm", "norm"],
];
