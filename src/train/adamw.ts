/**
 * AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, Algorithm 2; PyTorch's `torch.optim.AdamW`) as
 * part of the training graph: new parameters and moments are tensors like any other.
 */
import {
  add,
  divide,
  input,
  minimum,
  multiply,
  scalar,
  sqrt,
  subtract,
  sumOfSquares,
  type Tensor,
} from "../graph/index.js";

export type AdamWOptions = {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
};

export type Moments = { readonly first: Tensor; readonly second: Tensor };

/** Numbers that change with every step, as inputs of the graph; see `adamWScalars`. */
export type AdamWInputs = {
  /** 1 / (1 - beta1^t) and 1 / (1 - beta2^t) of step t = 1, 2, …; [] each. */
  readonly firstCorrection: Tensor;
  readonly secondCorrection: Tensor;
};

export const adamWInputs = (): AdamWInputs => ({
  firstCorrection: input("adamw.firstCorrection", "float32", []),
  secondCorrection: input("adamw.secondCorrection", "float32", []),
});

export const defaultAdamW = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/** Values of `AdamWInputs` at step `step`, counted from 1, computed in double precision. */
export const adamWCorrections = (step: number, options: AdamWOptions = {}) => {
  const { beta1, beta2 } = { ...defaultAdamW, ...options };
  return { first: 1 / (1 - beta1 ** step), second: 1 / (1 - beta2 ** step) };
};

/**
 * One parameter's update. All tensors but the scalars have the parameter's shape. What is the same
 * for all elements is folded into scalars first: passes over parameters are what the optimiser costs.
 */
export const adamW = (
  parameter: Tensor,
  gradient: Tensor,
  moments: Moments,
  {
    learningRate,
    weightDecay,
    corrections,
    gradientFactor,
    options = {},
  }: {
    readonly learningRate: Tensor; // []
    readonly weightDecay: number;
    readonly corrections: AdamWInputs;
    /** What the gradient is multiplied by (clipping), []. */
    readonly gradientFactor?: Tensor;
    readonly options?: AdamWOptions;
  },
): { readonly parameter: Tensor; readonly moments: Moments } => {
  const { beta1, beta2, epsilon } = { ...defaultAdamW, ...options };
  const scaled = (share: number, power: 1 | 2): Tensor => {
    if (gradientFactor === undefined) return scalar(share);
    const factor = power === 1 ? gradientFactor : multiply(gradientFactor, gradientFactor);
    return multiply(factor, scalar(share));
  };
  const first = add(
    multiply(moments.first, scalar(beta1)),
    multiply(gradient, scaled(1 - beta1, 1)),
  );
  // In this order, not as the square times a number: the square would be shared with the norm and
  // kept from there to here for all parameters.
  const second = add(
    multiply(moments.second, scalar(beta2)),
    multiply(multiply(gradient, scaled(1 - beta2, 2)), gradient),
  );
  // rate (c1 m) / (sqrt(c2 v) + e), divided through by sqrt(c2).
  const deviationFactor = sqrt(corrections.secondCorrection);
  const rate = divide(multiply(learningRate, corrections.firstCorrection), deviationFactor);
  const deviation = add(sqrt(second), divide(scalar(epsilon), deviationFactor));
  const decayed =
    weightDecay === 0
      ? parameter
      : multiply(parameter, subtract(scalar(1), multiply(learningRate, scalar(weightDecay))));
  return {
    parameter: subtract(decayed, multiply(divide(first, deviation), rate)),
    moments: { first, second },
  };
};

/** L2 norm of all gradients together, []; 0 where there is none. */
export const globalNorm = (gradients: readonly Tensor[]): Tensor => {
  if (gradients.length === 0) return scalar(0);
  const squares = gradients.map((gradient) =>
    sumOfSquares(
      gradient,
      gradient.shape.map((_, axis) => axis),
    ),
  );
  return sqrt(squares.reduce((left, right) => add(left, right)));
};

/** Factor that brings a norm down to `maxNorm`, at most 1 (`torch.nn.utils.clip_grad_norm_`). */
export const clipFactor = (norm: Tensor, maxNorm: number): Tensor =>
  minimum(scalar(1), divide(scalar(maxNorm), add(norm, scalar(1e-6))));
