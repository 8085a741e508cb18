/**
 * LLaVA-UHD v4's compressor inside the vision encoder (arXiv 2605.08985, section 3.2): after some
 * layer every 2x2 window of tokens becomes one, and the layers after it run on a quarter of them.
 * Every variant that the paper compares (table 4) is two choices: how the tokens of a window look at
 * each other first, and how the four become one.
 *
 * Tokens stand in merging order (`vision/patch-order.ts`): a window is four neighbours, top left, top
 * right, bottom left, bottom right. Nothing positional is added again afterwards; an encoder that
 * turns queries and keys by their place goes on with the places of the top left tokens.
 *
 * The cross-attention variants and those without attention have no released code; they follow the
 * paper's cost table.
 */
import { ShapeError } from "../errors.js";
import {
  add,
  attention,
  type Dim,
  divideDims,
  formatShape,
  gelu,
  geluTanh,
  mean,
  reshape,
  slice,
  type Tensor,
} from "../graph/index.js";
import { bidirectionalSelfAttention, projectQueryKeyValue } from "../nn/attention-block.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import { mlp } from "../nn/mlp.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type EncoderLayerConfig,
  type EncoderLayerParams,
  encoderLayerParams,
} from "../vision/encoder-layer.js";
import {
  joinPrefix,
  packedSelfAttention,
  splitPrefix,
  type TowerTokens,
} from "../vision/packed-tower.js";
import { averageStart, identityStart } from "./early-compressor-start.js";

/** Tokens of a window. */
export const windowTokens = 4;

type Variant = {
  /** Attention before merging, with a residual: within the window, or the whole view. */
  readonly mixing: "none" | "window" | "view";
  /**
   * `average`: the mean of the four. `mlp`, `reused-mlp`: the mean plus an MLP over all four side by
   * side, 4d or 4f wide inside. `cross-…`: one query a window, the top left token's or the mean.
   */
  readonly merging: "average" | "mlp" | "reused-mlp" | "cross-top-left" | "cross-mean";
};

/**
 * The variants of section 3.2 and table 4, two further switches of the released class, and the paper's
 * own with attention over the whole view, as which its table bills them.
 */
export const compressorVariants = {
  "average-pool": { mixing: "none", merging: "average" },
  "pixel-unshuffle-mlp": { mixing: "none", merging: "mlp" },
  "reused-mlp": { mixing: "none", merging: "reused-mlp" },
  "cross-attention-top-left": { mixing: "none", merging: "cross-top-left" },
  "cross-attention-mean": { mixing: "none", merging: "cross-mean" },
  "window-attention-mlp": { mixing: "window", merging: "mlp" },
  /** The paper's own. */
  "window-attention-reused-mlp": { mixing: "window", merging: "reused-mlp" },
  "window-attention-average-pool": { mixing: "window", merging: "average" },
  "view-attention-reused-mlp": { mixing: "view", merging: "reused-mlp" },
  "view-attention-mlp": { mixing: "view", merging: "mlp" },
  "view-attention-average-pool": { mixing: "view", merging: "average" },
} as const satisfies Record<string, Variant>;
export type CompressorVariant = keyof typeof compressorVariants;

const variantNames = Object.keys(compressorVariants) as CompressorVariant[];

/** The same variant with attention over the whole view where it is within windows; else itself. */
export const widenMixing = (variant: CompressorVariant): CompressorVariant => {
  const { mixing, merging }: Variant = compressorVariants[variant];
  const isWider = (name: CompressorVariant): boolean =>
    compressorVariants[name].mixing === "view" && compressorVariants[name].merging === merging;
  return mixing === "window" ? (variantNames.find(isWider) ?? variant) : variant;
};

export type EarlyCompressorConfig = {
  readonly variant: CompressorVariant;
  /** The encoder's layers, whose shape the compressor shares. */
  readonly layer: EncoderLayerConfig;
};

type UnshuffleMlpParams = {
  readonly norm: LayerNormParams; // [4D]
  readonly up: LinearParams; // [4F or 4D, 4D]
  readonly down: LinearParams; // [D, 4F or 4D]
};

export type EarlyCompressorParams = {
  /** Norm and attention of the mixing variants. */
  readonly mixing?: Pick<EncoderLayerParams, "norm1" | "attention">;
  readonly merging?: UnshuffleMlpParams;
  /** A whole layer, for the cross-attention variants. */
  readonly cross?: EncoderLayerParams;
};

const isCross = ({ merging }: Variant): boolean => merging.startsWith("cross-");

export const earlyCompressorParams = (
  scope: ParameterScope,
  { variant, layer }: EarlyCompressorConfig,
): EarlyCompressorParams => {
  const { width, mlpWidth } = layer;
  const chosen: Variant = compressorVariants[variant];
  if (isCross(chosen)) return { cross: encoderLayerParams(scope.child("cross"), layer) };
  const { norm1, attention } = encoderLayerParams(scope.child("mixing"), layer);
  const wide = windowTokens * width;
  const merging = scope.child("merging");
  return {
    ...(chosen.mixing !== "none" && { mixing: { norm1, attention } }),
    ...(chosen.merging === "reused-mlp" && {
      merging: {
        norm: layerNormParams(merging.child("norm"), wide),
        up: linearParams(merging.child("up"), windowTokens * mlpWidth, wide),
        down: linearParams(merging.child("down"), width, windowTokens * mlpWidth),
      },
    }),
    // The released first values: through the GELU, an average.
    ...(chosen.merging === "mlp" && {
      merging: {
        norm: layerNormParams(merging.child("norm"), wide),
        up: linearParams(merging.child("up"), wide, wide, { start: identityStart(wide) }),
        down: linearParams(merging.child("down"), width, wide, { start: averageStart(width) }),
      },
    }),
  };
};

/** Rows of `x` by window, [N, D] → [N/4, 4, D]. */
const byWindow = (x: Tensor): Tensor => {
  const windows: Dim | undefined = divideDims(x.shape[0], windowTokens);
  if (windows === undefined) {
    throw new ShapeError(
      `earlyCompressor: tokens must come in windows of ${windowTokens}, got ${formatShape(x.shape)}; plan views whose grids have even sides`,
    );
  }
  return reshape(x, [windows, windowTokens, x.shape[1]]);
};

const unshuffleMlp = (
  { norm, up, down }: UnshuffleMlpParams,
  tokens: Tensor, // [N, D]
  activation: (x: Tensor) => Tensor,
  { normEpsilon }: EncoderLayerConfig,
  taps?: Taps,
): Tensor => {
  const windows = byWindow(tokens);
  const [numWindows, , width] = windows.shape;
  const unshuffled = reshape(windows, [numWindows, windowTokens * Number(width)]); // [N/4, 4D]
  taps?.add("unshuffled", unshuffled);
  const average = mean(windows, [1]);
  taps?.add("average", average);
  const normed = applyLayerNorm(norm, unshuffled, normEpsilon);
  taps?.add("norm", normed);
  return add(average, mlp({ up, down }, normed, activation));
};

/** One query a window over its four tokens, then an MLP; both with residuals. [N, D] → [N/4, D]. */
const crossAttention = (
  params: EncoderLayerParams,
  tokens: Tensor,
  merging: Variant["merging"],
  { numHeads, normEpsilon, width }: EncoderLayerConfig,
): Tensor => {
  const normed = applyLayerNorm(params.norm1, tokens, normEpsilon);
  const [query, key, value] = (["query", "key", "value"] as const).map((part) =>
    byWindow(projectQueryKeyValue(params.attention, normed)[part]),
  );
  const ofWindow = (x: Tensor): Tensor =>
    merging === "cross-mean" ? mean(x, [1], { keepSides: true }) : slice(x, 1, 0, 1); // [N/4, 1, D]
  const mixed = attention(ofWindow(query), key, value, {
    numHeads,
    numKeyValueHeads: numHeads,
    scale: 1 / Math.sqrt(width / numHeads),
    causal: false,
  });
  const flat = (x: Tensor): Tensor => reshape(x, [x.shape[0], width]);
  const attended = add(
    flat(ofWindow(byWindow(tokens))),
    applyLinear(params.attention.output, flat(mixed)),
  );
  return add(
    attended,
    mlp(params.mlp, applyLayerNorm(params.norm2, attended, normEpsilon), geluTanh),
  );
};

/**
 * Merges every window of every view into one token. Tokens before the patches (a class token) pass.
 * x.tokens [N, D] → [N/4, D], views a quarter as long.
 */
export const earlyCompressor = (
  params: EarlyCompressorParams,
  x: TowerTokens,
  { variant, layer }: EarlyCompressorConfig,
  taps?: Taps,
): TowerTokens => {
  const { mixing, merging }: Variant = compressorVariants[variant];
  const { prefix, patches } = splitPrefix(x);
  let tokens = patches.tokens;
  if (params.mixing !== undefined) {
    const { norm1, attention: projections } = params.mixing;
    const normed = applyLayerNorm(norm1, tokens, layer.normEpsilon);
    const attended =
      mixing === "view"
        ? packedSelfAttention(projections, { ...x, ...patches, tokens: normed }, layer.numHeads)
        : reshape(
            bidirectionalSelfAttention(projections, byWindow(normed), layer.numHeads),
            tokens.shape,
          );
    tokens = add(tokens, attended);
    taps?.add("mixed", tokens);
  }
  let merged: Tensor;
  if (params.cross !== undefined) {
    merged = crossAttention(params.cross, tokens, merging, layer);
  } else if (params.merging !== undefined) {
    const activation = merging === "mlp" ? gelu : geluTanh;
    merged = unshuffleMlp(params.merging, tokens, activation, layer, taps);
  } else {
    merged = mean(byWindow(tokens), [1]);
  }
  taps?.add("output", merged);
  const groups = patches.groups.map(({ numViews, numTokens }) => ({
    numViews,
    numTokens: divideDims(numTokens, windowTokens) as Dim,
  }));
  return {
    ...x,
    ...joinPrefix(prefix, { tokens: merged, groups }),
    ...(x.rotation && { rotation: mergeRotation(x.rotation) }),
  };
};

/** Angles depend on differences of places alone, so a window's corner serves as its centre. */
const mergeRotation = ({
  places,
  tables,
}: NonNullable<TowerTokens["rotation"]>): NonNullable<TowerTokens["rotation"]> => {
  const windows = divideDims(places.shape[0], windowTokens) as Dim;
  return { places: slice(reshape(places, [windows, windowTokens]), 1, 0, 1), tables };
};

/** Published names of the parameters of a variant, below the compressor's own prefix. */
export const earlyCompressorNames = (
  variant: CompressorVariant,
): readonly (readonly [string, string])[] => {
  const part = isCross(compressorVariants[variant]) ? "cross" : "mixing";
  return [
    [`${part}.norm1`, "layer_norm1"],
    [`${part}.attention.query`, "self_attn.q_proj"],
    [`${part}.attention.key`, "self_attn.k_proj"],
    [`${part}.attention.value`, "self_attn.v_proj"],
    [`${part}.attention.output`, "self_attn.out_proj"],
    [`${part}.attention.input`, "self_attn.in_proj"],
    ["cross.norm2", "layer_norm2"],
    ["cross.mlp.up", "mlp.fc1"],
    ["cross.mlp.down", "mlp.fc2"],
    ["merging.norm", "pre_norm"],
    ["merging.up", "linear_1"],
    ["merging.down", "linear_2"],
  ];
};

/** Published tensors of the compressor that trained checkpoints hold and nothing reads. */
export const unusedCompressorTensors = /(?:^|\.)vit_merger\.(?:mlp|layer_norm2)\./;
