import { GraphError, OptionsError } from "../errors.js";
import {
  createGraph,
  type Engine,
  type Feed,
  type Graph,
  grad,
  input,
  multiply,
  type ParameterSource,
  type Resident,
  type Session,
  type Tensor,
} from "../graph/index.js";
import { float32, type TensorData } from "../tensor-data.js";
import {
  type AdamWOptions,
  adamW,
  adamWCorrections,
  adamWInputs,
  clipFactor,
  globalNorm,
} from "./adamw.js";

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
  /** Further outputs of each step, by name. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
};

const stateNames = (name: string) =>
  ({ parameter: name, first: `adamw.first.${name}`, second: `adamw.second.${name}` }) as const;
type StatePart = keyof ReturnType<typeof stateNames>;
const stateParts: readonly StatePart[] = ["parameter", "first", "second"];
const next = (name: string): string => `next.${name}`;
const rateName = (group: string): string => `learningRate.${group}`;

/**
 * The whole step as one graph: loss, gradients, clipping, AdamW. Trainable parameters must have been
 * declared as fed (`ParameterScope`'s `isFed`); their inputs are found by name.
 */
export const trainStepGraph = (
  loss: Tensor,
  { groups, adamW: options, maxGradientNorm, outputs = {} }: TrainStepOptions,
): Graph => {
  const forward = createGraph("loss", { loss });
  const names = groups.flatMap((group) => group.parameters);
  const parameters = names.map((name) => {
    const tensor = forward.inputs.get(name);
    if (tensor === undefined) {
      throw new GraphError(
        `trainStepGraph: the loss does not depend on a fed parameter "${name}"; take it out of its group or declare it as fed`,
      );
    }
    return tensor;
  });
  const gradients = grad(loss, parameters).map((gradient, index) => {
    if (gradient === undefined) {
      throw new GraphError(
        `trainStepGraph: no gradient reaches "${names[index]}"; take it out of its group`,
      );
    }
    return gradient;
  });
  const norm = globalNorm(gradients);
  const factor = maxGradientNorm === undefined ? undefined : clipFactor(norm, maxGradientNorm);
  const corrections = adamWInputs();
  const results: Record<string, Tensor> = { loss, gradientNorm: norm, ...outputs };
  let index = 0;
  for (const group of groups) {
    const learningRate = input(rateName(group.name), "float32", []);
    for (const name of group.parameters) {
      const [parameter, gradient] = [parameters[index], gradients[index]];
      index += 1;
      const state = stateNames(name);
      const updated = adamW(
        parameter,
        factor === undefined ? gradient : multiply(gradient, factor),
        {
          first: input(state.first, "float32", parameter.shape),
          second: input(state.second, "float32", parameter.shape),
        },
        { learningRate, weightDecay: group.weightDecay ?? 0, corrections, options },
      );
      results[next(state.parameter)] = updated.parameter;
      results[next(state.first)] = updated.moments.first;
      results[next(state.second)] = updated.moments.second;
    }
  }
  return createGraph("train-step", results);
};

/** Values of every trained parameter and its moments, by state name. */
export type TrainState = ReadonlyMap<string, TensorData<"float32">>;

/**
 * Parameters and moments in the engine. They are kept twice, read from one side and written to the
 * other: a parameter must not change while the backward pass still reads it.
 */
export class Trainer {
  private stepCount = 0;

  private constructor(
    private readonly engine: Engine,
    private readonly session: Session,
    private readonly options: TrainStepOptions,
    private sides: [Record<string, Resident>, Record<string, Resident>],
  ) {}

  /** Opens the step and puts the starting values into the engine; absent moments are zero. */
  static async create(
    engine: Engine,
    loss: Tensor,
    options: TrainStepOptions,
    start: { readonly parameters: TrainState; readonly frozen: ParameterSource; readonly step?: number },
  ): Promise<Trainer> {
    const graph = trainStepGraph(loss, options);
    const session = await engine.open(graph, start.frozen);
    const sides: [Record<string, Resident>, Record<string, Resident>] = [{}, {}];
    for (const name of options.groups.flatMap((group) => group.parameters)) {
      const state = stateNames(name);
      for (const part of stateParts) {
        const value = start.parameters.get(state[part]);
        const shape = graph.inputs.get(state[part])?.shape.map(Number) ?? [];
        if (value === undefined && part === "parameter") {
          throw new OptionsError(`Trainer: no starting value for parameter "${name}"; pass one`);
        }
        for (const side of sides) side[state[part]] = await engine.allocate("float32", shape);
        if (value !== undefined) await engine.write(sides[0][state[part]], value);
      }
    }
    const trainer = new Trainer(engine, session, options, sides);
    trainer.stepCount = start.step ?? 0;
    return trainer;
  }

  /** Steps taken so far, those before a resume included. */
  get step(): number {
    return this.stepCount;
  }

  /** One step on a batch. Returns the loss before it, the gradient norm and the outputs asked for. */
  async run(
    feeds: Readonly<Record<string, Feed>>,
    learningRates: Readonly<Record<string, number>>,
  ): Promise<Record<string, TensorData>> {
    const step = this.stepCount + 1;
    const corrections = adamWCorrections(step, this.options.adamW);
    const [from, to] = this.sides;
    const rates = Object.fromEntries(
      this.options.groups.map(({ name }) => {
        const rate = learningRates[name];
        if (rate === undefined) {
          throw new OptionsError(`Trainer: no learning rate for group "${name}"; pass one`);
        }
        return [rateName(name), float32([], [rate])];
      }),
    );
    const results = await this.session.run(
      {
        ...feeds,
        ...from,
        ...rates,
        "adamw.firstCorrection": float32([], [corrections.first]),
        "adamw.secondCorrection": float32([], [corrections.second]),
      },
      {
        fetch: ["loss", "gradientNorm", ...Object.keys(this.options.outputs ?? {})],
        into: Object.fromEntries(Object.entries(to).map(([name, memory]) => [next(name), memory])),
      },
    );
    this.sides = [to, from];
    this.stepCount = step;
    return results;
  }

  /** Reads parameters and moments back, for a checkpoint. */
  async state(): Promise<TrainState> {
    const values = new Map<string, TensorData<"float32">>();
    for (const [name, memory] of Object.entries(this.sides[0])) {
      values.set(name, (await this.engine.read(memory)) as TensorData<"float32">);
    }
    return values;
  }

  async close(): Promise<void> {
    await this.session.close();
    for (const side of this.sides) {
      for (const memory of Object.values(side)) await this.engine.release(memory);
    }
  }
}
