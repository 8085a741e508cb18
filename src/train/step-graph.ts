/** The graphs of training: the whole step as one, or gradients added up and applied apart. */
import { GraphError } from "../errors.js";
import {
  add,
  constant,
  createGraph,
  divide,
  type Graph,
  grad,
  input,
  multiply,
  type Shape,
  scalar,
  stopGradient,
  type Tensor,
  where,
} from "../graph/index.js";
import { float32 } from "../tensor-data.js";
import { type AdamWOptions, adamW, adamWInputs, clipFactor, globalNorm } from "./adamw.js";

/** Parameters that train alike. */
export type ParameterGroup = {
  readonly name: string;
  /** Full parameter names. */
  readonly parameters: readonly string[];
  readonly weightDecay?: number;
};

export type TrainStepOptions = {
  readonly groups: readonly ParameterGroup[];
  readonly adamW?: AdamWOptions;
  /** Gradients are scaled down to this global norm; none when absent. */
  readonly maxGradientNorm?: number;
  /**
   * Whether layers (`gradientCheckpoint`) are computed again in the backward pass: less memory, about a
   * third more arithmetic.
   */
  readonly gradientCheckpointing?: boolean;
};

export type StepGraphOptions = {
  /** Further outputs of the step, by name. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
  /**
   * Shapes of parameters that may stay as they are when the loss does not depend on them, as the
   * vision tower's in a batch of text. Without, such a parameter is an error.
   */
  readonly keptShapes?: ReadonlyMap<string, Shape>;
};

export const stateNames = (name: string) =>
  ({ parameter: name, first: `adamw.first.${name}`, second: `adamw.second.${name}` }) as const;
export const stateParts = ["parameter", "first", "second"] as const;
/** Outputs that are a state's next value, and sums of gradients. */
export const nextName = (name: string): string => `next.${name}`;
export const sumName = (name: string): string => `gradientSum.${name}`;
export const rateName = (group: string): string => `learningRate.${group}`;
/** Inputs of accumulation: a batch's weight, whether it is the first, and the sum of all weights. */
export const accumulationNames = {
  weight: "accumulation.weight",
  isFirst: "accumulation.isFirst",
  total: "accumulation.total",
} as const;

/** Whether memory for an output is kept by the trainer rather than by the session. */
export const isTrainerOutput = (name: string): boolean =>
  name.startsWith(nextName("")) || name.startsWith(nextName(sumName("")));

type Gradients = {
  /** Of every parameter that the loss depends on. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  /** Of every parameter in a group. */
  readonly shapes: ReadonlyMap<string, Shape>;
};

const differentiateLoss = (
  loss: Tensor,
  { groups, gradientCheckpointing = false }: TrainStepOptions,
  keptShapes: StepGraphOptions["keptShapes"],
): Gradients => {
  const forward = createGraph("loss", { loss });
  const names = groups.flatMap((group) => group.parameters);
  const used = names.filter((name) => {
    if (forward.inputs.has(name)) return true;
    if (keptShapes?.has(name)) return false;
    throw new GraphError(
      `trainStepGraph: the loss does not depend on a fed parameter "${name}"; take it out of its group or declare it as fed`,
    );
  });
  const parameters = used.map((name) => forward.inputs.get(name) as Tensor);
  const gradients = new Map<string, Tensor>();
  grad(loss, parameters, { recompute: gradientCheckpointing }).forEach((gradient, at) => {
    if (gradient !== undefined) gradients.set(used[at], gradient);
    else if (!keptShapes?.has(used[at])) {
      throw new GraphError(
        `trainStepGraph: no gradient reaches "${used[at]}"; take it out of its group`,
      );
    }
  });
  const shapes = new Map(
    names.map((name) => [name, forward.inputs.get(name)?.shape ?? keptShapes?.get(name) ?? []]),
  );
  return { gradients, shapes };
};

/** The next state of all parameters. `scale` is what the gradients are to be multiplied by, []. */
const applyGradients = (
  { gradients, shapes }: Gradients,
  { groups, adamW: options, maxGradientNorm }: TrainStepOptions,
  scale?: Tensor,
): Record<string, Tensor> => {
  const rawNorm = globalNorm([...gradients.values()]);
  const norm = scale === undefined ? rawNorm : multiply(rawNorm, scale);
  const clip = maxGradientNorm === undefined ? undefined : clipFactor(norm, maxGradientNorm);
  const factor =
    clip === undefined || scale === undefined ? (clip ?? scale) : multiply(clip, scale);
  const corrections = adamWInputs();
  const written: Record<string, Tensor> = { gradientNorm: norm };
  for (const group of groups) {
    const learningRate = input(rateName(group.name), "float32", []);
    for (const name of group.parameters) {
      const state = stateNames(name);
      const shape = shapes.get(name) ?? [];
      const [parameter, first, second] = stateParts.map((part) =>
        input(state[part], "float32", shape),
      );
      const gradient = gradients.get(name);
      if (gradient === undefined) {
        // Nothing was said about it: it stays as it is, its moments too.
        [parameter, first, second].forEach((tensor, part) => {
          written[nextName(state[stateParts[part]])] = stopGradient(tensor);
        });
        continue;
      }
      const updated = adamW(
        parameter,
        gradient,
        { first, second },
        {
          learningRate,
          weightDecay: group.weightDecay ?? 0,
          corrections,
          gradientFactor: factor,
          options,
        },
      );
      written[nextName(state.parameter)] = updated.parameter;
      written[nextName(state.first)] = updated.moments.first;
      written[nextName(state.second)] = updated.moments.second;
    }
  }
  return written;
};

/**
 * The whole step as one graph: loss, gradients, clipping, AdamW, and further `outputs`. Trainable parameters must have been
 * declared as fed (`ParameterScope`'s `isFed`); their inputs are found by name.
 */
export const trainStepGraph = (
  loss: Tensor,
  options: TrainStepOptions,
  { outputs = {}, keptShapes }: StepGraphOptions = {},
): Graph => {
  const written = applyGradients(differentiateLoss(loss, options, keptShapes), options);
  return createGraph("train-step", { loss, ...written, ...outputs });
};

/**
 * Loss and gradients of a batch, times its weight, added to those of the batches before it. Sums may
 * be written to the memory that they are read from.
 */
export const accumulationGraph = (
  loss: Tensor,
  options: TrainStepOptions,
  { outputs = {}, keptShapes }: StepGraphOptions = {},
): { readonly graph: Graph; readonly touched: readonly string[] } => {
  const { gradients, shapes } = differentiateLoss(loss, options, keptShapes);
  const weight = input(accumulationNames.weight, "float32", []);
  const isFirst = input(accumulationNames.isFirst, "bool", []);
  const zero = constant(float32([], [0]));
  const sums: Record<string, Tensor> = {};
  for (const [name, shape] of shapes) {
    // Not times zero: what is left of an earlier sum may be no number.
    const before = where(isFirst, zero, input(sumName(name), "float32", shape));
    const gradient = gradients.get(name);
    sums[nextName(sumName(name))] =
      gradient === undefined ? before : add(before, multiply(gradient, weight));
  }
  return {
    graph: createGraph("accumulate", { loss, ...sums, ...outputs }),
    touched: [...gradients.keys()],
  };
};

/** Clipping and AdamW on accumulated gradients of `touched`; all other parameters stay. */
export const updateGraph = (
  options: TrainStepOptions,
  shapes: ReadonlyMap<string, Shape>,
  touched: ReadonlySet<string>,
): Graph => {
  const gradients = new Map(
    [...shapes]
      .filter(([name]) => touched.has(name))
      .map(([name, shape]) => [name, input(sumName(name), "float32", shape)] as const),
  );
  const scale = divide(scalar(1), input(accumulationNames.total, "float32", []));
  return createGraph("update", applyGradients({ gradients, shapes }, options, scale));
};
