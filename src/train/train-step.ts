import { GraphError, OptionsError } from "../errors.js";
import {
  createGraph,
  type Engine,
  type Feed,
  type Graph,
  grad,
  input,
  type ParameterSource,
  type Resident,
  type Shape,
  stopGradient,
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

const stateNames = (name: string) =>
  ({ parameter: name, first: `adamw.first.${name}`, second: `adamw.second.${name}` }) as const;
type StatePart = keyof ReturnType<typeof stateNames>;
const stateParts: readonly StatePart[] = ["parameter", "first", "second"];
const next = (name: string): string => `next.${name}`;
const rateName = (group: string): string => `learningRate.${group}`;

/**
 * The whole step as one graph: loss, gradients, clipping, AdamW, and further `outputs`. Trainable parameters must have been
 * declared as fed (`ParameterScope`'s `isFed`); their inputs are found by name.
 */
export const trainStepGraph = (
  loss: Tensor,
  { groups, adamW: options, maxGradientNorm }: TrainStepOptions,
  { outputs = {}, keptShapes }: StepGraphOptions = {},
): Graph => {
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
  const results = new Map(grad(loss, parameters).map((gradient, at) => [used[at], gradient]));
  const gradients = new Map<string, Tensor>();
  for (const [name, gradient] of results) {
    if (gradient !== undefined) gradients.set(name, gradient);
    else if (!keptShapes?.has(name)) {
      throw new GraphError(
        `trainStepGraph: no gradient reaches "${name}"; take it out of its group`,
      );
    }
  }
  const norm = globalNorm([...gradients.values()]);
  const factor = maxGradientNorm === undefined ? undefined : clipFactor(norm, maxGradientNorm);
  const corrections = adamWInputs();
  const written: Record<string, Tensor> = { loss, gradientNorm: norm, ...outputs };
  for (const group of groups) {
    const learningRate = input(rateName(group.name), "float32", []);
    for (const name of group.parameters) {
      const state = stateNames(name);
      const gradient = gradients.get(name);
      const shape = forward.inputs.get(name)?.shape ?? keptShapes?.get(name) ?? [];
      if (gradient === undefined) {
        // This batch says nothing about it: it stays as it is, its moments too.
        for (const part of stateParts) {
          written[next(state[part])] = stopGradient(input(state[part], "float32", shape));
        }
        continue;
      }
      const updated = adamW(
        forward.inputs.get(name) as Tensor,
        gradient,
        {
          first: input(state.first, "float32", shape),
          second: input(state.second, "float32", shape),
        },
        {
          learningRate,
          weightDecay: group.weightDecay ?? 0,
          corrections,
          gradientFactor: factor,
          options,
        },
      );
      written[next(state.parameter)] = updated.parameter;
      written[next(state.first)] = updated.moments.first;
      written[next(state.second)] = updated.moments.second;
    }
  }
  return createGraph("train-step", written);
};

/** Values of every trained parameter and its moments, by state name. */
export type TrainState = ReadonlyMap<string, TensorData<"float32">>;

/** The step for batches of one shape: a graph made ready, sharing the trainer's state. */
export type TrainStep = {
  /**
   * Computes on a batch. Returns the loss before it, the gradient norm and the outputs asked for.
   * When loss or norm is not finite, nothing changes.
   */
  run(
    feeds: Readonly<Record<string, Feed>>,
    learningRates: Readonly<Record<string, number>>,
  ): Promise<Record<string, TensorData>>;
  close(): Promise<void>;
};

/** The feeds that a graph asks for: a step that leaves a group alone needs no rate for it. */
const usedBy = <Value extends Feed>(
  graph: Graph,
  feeds: Readonly<Record<string, Value>>,
): Record<string, Value> =>
  Object.fromEntries(Object.entries(feeds).filter(([name]) => graph.inputs.has(name)));

type StateSide = Record<string, Resident>;

/**
 * Parameters and moments in the engine. They are kept twice, read from one side and written to the
 * other: a parameter must not change while the backward pass still reads it. Steps for several batch
 * shapes share them.
 */
export class Trainer {
  private stepCount: number;

  private constructor(
    private readonly engine: Engine,
    private readonly options: TrainStepOptions,
    private readonly frozen: ParameterSource,
    private sides: readonly [StateSide, StateSide],
    stepsTaken: number,
  ) {
    this.stepCount = stepsTaken;
  }

  /** Puts the starting values into the engine; absent moments are zero. */
  static async create(
    engine: Engine,
    options: TrainStepOptions,
    start: {
      /** Parameters, and moments where training goes on. */
      readonly state: TrainState;
      /** Where parameters that do not train are found. */
      readonly frozen: ParameterSource;
      readonly stepsTaken?: number;
    },
  ): Promise<Trainer> {
    const sides: [StateSide, StateSide] = [{}, {}];
    for (const name of options.groups.flatMap((group) => group.parameters)) {
      const names = stateNames(name);
      const parameter = start.state.get(name);
      if (parameter === undefined) {
        throw new OptionsError(`Trainer: no starting value for parameter "${name}"; pass one`);
      }
      for (const part of stateParts) {
        for (const side of sides) {
          side[names[part]] = await engine.allocate("float32", parameter.shape);
        }
        const value = start.state.get(names[part]);
        if (value !== undefined) await engine.write(sides[0][names[part]], value);
      }
    }
    return new Trainer(engine, options, start.frozen, sides, start.stepsTaken ?? 0);
  }

  /** Steps taken so far, those before a resume included. */
  get step(): number {
    return this.stepCount;
  }

  /** Makes the step for one batch shape ready: `loss` as a function of its inputs. */
  async openStep(loss: Tensor, stepOptions: StepGraphOptions = {}): Promise<TrainStep> {
    const graph = trainStepGraph(loss, this.options, stepOptions);
    const session = await this.engine.open(graph, this.frozen);
    const fetch = ["loss", "gradientNorm", ...Object.keys(stepOptions.outputs ?? {})];
    return {
      run: async (feeds, learningRates) => {
        const [from, to] = this.sides;
        const results = await session.run(
          usedBy(graph, { ...feeds, ...from, ...this.scalars(learningRates) }),
          {
            fetch,
            into: Object.fromEntries(
              Object.entries(to).map(([name, memory]) => [next(name), memory]),
            ),
          },
        );
        // A step that is not finite is not taken: the parameters before it stay readable.
        const { loss: before, gradientNorm } = results;
        if (Number.isFinite(before.data[0]) && Number.isFinite(gradientNorm.data[0])) {
          this.sides = [to, from];
          this.stepCount += 1;
        }
        return results;
      },
      close: () => session.close(),
    };
  }

  /** Opens a graph that only reads the parameters: validation, or generation during a run. */
  async openForward(graph: Graph): Promise<
    Pick<TrainStep, "close"> & {
      run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, TensorData>>;
    }
  > {
    const session = await this.engine.open(graph, this.frozen);
    return {
      run: (feeds) => session.run({ ...feeds, ...usedBy(graph, this.sides[0]) }),
      close: () => session.close(),
    };
  }

  /** Reads parameters and moments back, for a checkpoint. */
  async state(): Promise<TrainState> {
    const values = new Map<string, TensorData<"float32">>();
    for (const [name, memory] of Object.entries(this.sides[0])) {
      values.set(name, (await this.engine.read(memory)) as TensorData<"float32">);
    }
    return values;
  }

  /** Gives the memory back. Steps are closed by whoever opened them. */
  async close(): Promise<void> {
    for (const side of this.sides) {
      for (const memory of Object.values(side)) await this.engine.release(memory);
    }
  }

  private scalars(learningRates: Readonly<Record<string, number>>): Record<string, TensorData> {
    const corrections = adamWCorrections(this.stepCount + 1, this.options.adamW);
    const rates = this.options.groups.map(({ name }) => {
      const rate = learningRates[name];
      if (rate === undefined) {
        throw new OptionsError(`Trainer: no learning rate for group "${name}"; pass one`);
      }
      return [rateName(name), float32([], [rate])] as const;
    });
    return {
      ...Object.fromEntries(rates),
      "adamw.firstCorrection": float32([], [corrections.first]),
      "adamw.secondCorrection": float32([], [corrections.second]),
    };
  }
}
