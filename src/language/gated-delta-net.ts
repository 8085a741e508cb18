/**
 * Gated DeltaNet (Yang et al. 2024, arXiv 2412.06464, section 3) as Qwen3-Next and Qwen3.5 have it: linear
 * attention whose state is a matrix for each head. Every token lets the state decay, takes out what it
 * holds under the token's key and puts the token's value there (equation 10). Queries, keys and values
 * pass a causal convolution of their own channels first; the result is normed per head and gated.
 */
import {
  add,
  broadcast,
  cast,
  concat,
  constant,
  type Dim,
  deltaRecurrence,
  divide,
  equal,
  exp,
  multiply,
  negate,
  ones,
  padAxis,
  reshape,
  scalar,
  sigmoid,
  silu,
  slice,
  softplus,
  sqrt,
  subtractDims,
  sumOfSquares,
  type Tensor,
  uniform,
  values,
  where,
} from "../graph/index.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import { applyRmsNorm, type RmsNormParams, rmsNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import { int64 } from "../tensor-data.js";
import type { LlamaContext } from "./layer-context.js";
import type { DeltaNetConfig, LlamaConfig } from "./llama-config.js";

// In this file: K key heads of width E, H value heads of width F, C = 2·K·E + H·F channels.
export type DeltaNetParams = {
  readonly queryKeyValue: LinearParams; // [C, D]
  readonly gate: LinearParams; // [H*F, D]
  /** How much of what is held under a key is replaced. */
  readonly strength: LinearParams; // [H, D]
  /** How far a token moves time on, with `stepBias`. */
  readonly step: LinearParams; // [H, D]
  readonly stepBias: Tensor; // [H]
  /** Logarithm of the rate at which a state decays with time. */
  readonly logRate: Tensor; // [H]
  readonly convolution: Tensor; // [C, 1, kernel]
  readonly norm: RmsNormParams; // [F]
  readonly output: LinearParams; // [D, H*F]
};

/** What a layer keeps of all earlier tokens, whatever their number. */
export type DeltaNetMemory = {
  readonly state: Tensor; // [B, H, E, F]
  /** What the convolution saw last. */
  readonly inputs: Tensor; // [B, kernel - 1, C]
};

const channelsOf = ({ numKeyHeads, numValueHeads, keyWidth, valueWidth }: DeltaNetConfig): number =>
  2 * numKeyHeads * keyWidth + numValueHeads * valueWidth;

/** Sides of a layer's memory for `batch` sequences. */
export const deltaNetMemoryShapes = (
  config: DeltaNetConfig,
  batch: Dim,
): { readonly state: readonly Dim[]; readonly inputs: readonly Dim[] } => ({
  state: [batch, config.numValueHeads, config.keyWidth, config.valueWidth],
  inputs: [batch, config.kernelSize - 1, channelsOf(config)],
});

/** Largest rate of decay at the start; rates are spread evenly below it. */
const largestRate = 16;

export const deltaNetParams = (
  scope: ParameterScope,
  width: number,
  config: DeltaNetConfig,
): DeltaNetParams => {
  const { numValueHeads, valueWidth, kernelSize } = config;
  const plain = { bias: false };
  const valueTotal = numValueHeads * valueWidth;
  const channels = channelsOf(config);
  const rates = (): Float32Array =>
    Float32Array.from({ length: numValueHeads }, (_, head) =>
      Math.log((largestRate * (head + 1)) / numValueHeads),
    );
  return {
    queryKeyValue: linearParams(scope.child("queryKeyValue"), channels, width, plain),
    gate: linearParams(scope.child("gate"), valueTotal, width, plain),
    strength: linearParams(scope.child("strength"), numValueHeads, width, plain),
    step: linearParams(scope.child("step"), numValueHeads, width, plain),
    stepBias: scope.parameter("stepBias", [numValueHeads], ones),
    logRate: scope.parameter("logRate", [numValueHeads], values(rates)),
    convolution: scope.parameter(
      "convolution",
      [channels, 1, kernelSize],
      uniform(1 / Math.sqrt(kernelSize)),
    ),
    norm: rmsNormParams(scope.child("norm"), valueWidth),
    output: linearParams(scope.child("output"), width, valueTotal, plain),
  };
};

/** Added to a squared length before its root is taken. */
const lengthEpsilon = 1e-6;

/** x [..., E] scaled to length one. */
const toUnitLength = (x: Tensor): Tensor =>
  divide(x, sqrt(add(sumOfSquares(x, [-1], { keepSides: true }), scalar(lengthEpsilon))));

/** Each key head for all the value heads that it serves. [B, T, K, E] → [B, T, H, E]. */
const repeatHeads = (x: Tensor, numHeads: number): Tensor => {
  const [batch, length, given, width] = x.shape;
  const group = numHeads / Number(given);
  if (group === 1) return x;
  const single = reshape(x, [batch, length, given, 1, width]);
  const repeated = broadcast(single, [batch, length, given, group, width]);
  return reshape(repeated, [batch, length, numHeads, width]);
};

/** What a call begins with: nothing, or what was kept, which a sequence's first token does not see. */
const memoryBefore = (x: Tensor, context: LlamaContext, config: DeltaNetConfig, layer: number) => {
  const shapes = deltaNetMemoryShapes(config, x.shape[0]);
  const none = scalar(0);
  if (context.kind === "full") {
    return { state: broadcast(none, shapes.state), inputs: broadcast(none, shapes.inputs) };
  }
  const kept = context.caches[layer] as DeltaNetMemory;
  const begins = equal(slice(context.positions, 1, 0, 1), constant(int64([], [0])));
  const batch = x.shape[0];
  return {
    state: where(reshape(begins, [batch, 1, 1, 1]), none, kept.state),
    inputs: where(reshape(begins, [batch, 1, 1]), none, kept.inputs),
  };
};

/** Logarithm of a decay that leaves nothing. */
const completeDecay = -1e4;

/** Whether a token and the one `lag` before it are of one sample. segments [B, T] → [B, T] bool. */
const isSameSegment = (segments: Tensor, lag: number): Tensor =>
  equal(segments, slice(padAxis(segments, 1, lag, 0), 1, 0, segments.shape[1]));

/** x [B, T, D], normed → [B, T, D], and what the layer keeps after these tokens. */
export const gatedDeltaNet = (
  params: DeltaNetParams,
  x: Tensor,
  context: LlamaContext,
  layerIndex: number,
  config: DeltaNetConfig,
  { normEpsilon }: Pick<LlamaConfig, "normEpsilon">,
  taps?: Taps,
): { readonly output: Tensor; readonly memory: DeltaNetMemory } => {
  const { numKeyHeads, numValueHeads, keyWidth, valueWidth, kernelSize } = config;
  const [batch, length] = x.shape;
  const { segments, tokenMask } = context.kind === "full" ? context : {};
  const before = memoryBefore(x, context, config, layerIndex);
  // Padding has neither key nor value: it changes nothing of a state that is still empty.
  const seen = tokenMask
    ? where(reshape(tokenMask, [batch, length, 1]), x, multiply(x, scalar(0)))
    : x;

  const joined = concat([before.inputs, applyLinear(params.queryKeyValue, seen)], 1);
  const after = subtractDims(joined.shape[1], kernelSize - 1);
  const kernel = reshape(params.convolution, [channelsOf(config), kernelSize]);
  const tap = (index: number): Tensor => {
    const lag = kernelSize - 1 - index;
    const rows = slice(joined, 1, index, subtractDims(joined.shape[1], lag));
    const weighted = multiply(rows, reshape(slice(kernel, 1, index, index + 1), [-1]));
    if (segments === undefined || lag === 0) return weighted;
    const isSeen = cast(isSameSegment(segments, lag), "float32");
    return multiply(weighted, reshape(isSeen, [batch, length, 1]));
  };
  const convolved = silu(Array.from({ length: kernelSize }, (_, index) => tap(index)).reduce(add));

  const keyTotal = numKeyHeads * keyWidth;
  const part = (start: number, heads: number, width: number): Tensor =>
    reshape(slice(convolved, 2, start, start + heads * width), [batch, length, heads, width]);
  const unit = (start: number): Tensor =>
    repeatHeads(toUnitLength(part(start, numKeyHeads, keyWidth)), numValueHeads);
  const query = multiply(unit(0), scalar(1 / Math.sqrt(keyWidth)));
  const key = unit(keyTotal);
  const value = part(2 * keyTotal, numValueHeads, valueWidth);

  const strength = sigmoid(applyLinear(params.strength, seen));
  const time = softplus(add(applyLinear(params.step, seen), params.stepBias));
  const ownDecay = negate(multiply(exp(params.logRate), time));
  const logDecay =
    segments === undefined
      ? ownDecay
      : where(
          reshape(isSameSegment(segments, 1), [batch, length, 1]),
          ownDecay,
          scalar(completeDecay),
        );
  const addedKey = multiply(key, reshape(strength, [batch, length, numValueHeads, 1]));
  const steps = { logDecay, strength, key, addedKey, addedValue: value, query };
  const { read, last } = deltaRecurrence(steps, before.state);
  taps?.add("read", read);

  const gate = reshape(applyLinear(params.gate, seen), [batch, length, numValueHeads, valueWidth]);
  const gated = multiply(applyRmsNorm(params.norm, read, normEpsilon), silu(gate));
  const output = applyLinear(
    params.output,
    reshape(gated, [batch, length, numValueHeads * valueWidth]),
  );
  return { output, memory: { state: last, inputs: slice(joined, 1, after, joined.shape[1]) } };
};

/** Published names of a layer's parameters, below `layers.{i}.`. */
export const deltaNetNames: readonly (readonly [string, string])[] = [
  ["deltaNet.queryKeyValue", "linear_attn.in_proj_qkv"],
  ["deltaNet.gate", "linear_attn.in_proj_z"],
  ["deltaNet.strength", "linear_attn.in_proj_b"],
  ["deltaNet.step", "linear_attn.in_proj_a"],
  ["deltaNet.stepBias", "linear_attn.dt_bias"],
  ["deltaNet.logRate", "linear_attn.A_log"],
  ["deltaNet.convolution", "linear_attn.conv1d.weight"],
  ["deltaNet.norm", "linear_attn.norm"],
  ["deltaNet.output", "linear_attn.out_proj"],
];
