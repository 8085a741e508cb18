import { OptionsError } from "../errors.js";
import type {
  Engine,
  Feed,
  Graph,
  ParameterSource,
  Resident,
  Session,
  Tensor,
} from "../graph/index.js";
import { bool, float32, type TensorData } from "../tensor-data.js";
import { adamWCorrections } from "./adamw.js";
import {
  accumulationGraph,
  accumulationNames,
  nextName,
  rateName,
  type StepGraphOptions,
  stateNames,
  stateParts,
  sumName,
  type TrainStepOptions,
  trainStepGraph,
  updateGraph,
} from "./step-graph.js";

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

/** Adds the gradients of batches of one shape to those that `applyAccumulated` takes. */
export type AccumulationStep = {
  /** `weight`: what the batch counts, its supervised tokens as a rule. Returns its loss. */
  run(feeds: Readonly<Record<string, Feed>>, weight: number): Promise<Record<string, TensorData>>;
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
  /** Gradients since the last step; in place once, since nothing else reads them. */
  private sums: StateSide | undefined;
  private accumulated: { weight: number; readonly touched: Set<string> } | undefined;
  private readonly updates = new Map<string, Promise<Session>>();

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
      run: (feeds, learningRates) => this.advance(session, feeds, fetch, learningRates),
      close: () => session.close(),
    };
  }

  /** Whether gradients wait for `applyAccumulated`. */
  get isAccumulating(): boolean {
    return this.accumulated !== undefined;
  }

  /** Makes the accumulation for one batch shape ready. */
  async openAccumulation(
    loss: Tensor,
    stepOptions: StepGraphOptions = {},
  ): Promise<AccumulationStep> {
    const { graph, touched } = accumulationGraph(loss, this.options, stepOptions);
    const session = await this.engine.open(graph, this.frozen);
    this.sums ??= await this.allocateSums();
    const into = Object.fromEntries(
      Object.entries(this.sums).map(([name, memory]) => [nextName(name), memory]),
    );
    const fetch = ["loss", ...Object.keys(stepOptions.outputs ?? {})];
    return {
      run: async (feeds, weight) => {
        const accumulation = {
          [accumulationNames.weight]: float32([], [weight]),
          [accumulationNames.isFirst]: bool([], [this.accumulated === undefined]),
        };
        const results = await session.run(
          usedBy(graph, { ...feeds, ...this.sides[0], ...this.sums, ...accumulation }),
          { fetch, into },
        );
        this.accumulated ??= { weight: 0, touched: new Set() };
        this.accumulated.weight += weight;
        for (const name of touched) this.accumulated.touched.add(name);
        return results;
      },
      close: () => session.close(),
    };
  }

  /**
   * One optimiser step on what was accumulated, as if it had been one batch. Returns the gradient
   * norm; when it is not finite, nothing changes.
   */
  async applyAccumulated(
    learningRates: Readonly<Record<string, number>>,
  ): Promise<Record<string, TensorData>> {
    const { accumulated, sums } = this;
    if (accumulated === undefined || sums === undefined) {
      throw new OptionsError("Trainer: nothing was accumulated; run an accumulation step first");
    }
    this.accumulated = undefined;
    const session = await this.openUpdate(accumulated.touched);
    // Without a supervised token all gradients are zero, and stay so.
    const total = Math.max(1, accumulated.weight);
    const feeds = { ...sums, [accumulationNames.total]: float32([], [total]) };
    return this.advance(session, feeds, ["gradientNorm"], learningRates);
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
    for (const session of this.updates.values()) await (await session).close();
    for (const side of [...this.sides, this.sums ?? {}]) {
      for (const memory of Object.values(side)) await this.engine.release(memory);
    }
  }

  /** Runs a graph that ends in the next state, and takes the step when it is finite. */
  private async advance(
    session: Session,
    feeds: Readonly<Record<string, Feed>>,
    fetch: readonly string[],
    learningRates: Readonly<Record<string, number>>,
  ): Promise<Record<string, TensorData>> {
    const [from, to] = this.sides;
    const results = await session.run(
      usedBy(session.graph, { ...feeds, ...from, ...this.scalars(learningRates) }),
      {
        fetch,
        into: Object.fromEntries(
          Object.entries(to).map(([name, memory]) => [nextName(name), memory]),
        ),
      },
    );
    // A step that is not finite is not taken: the parameters before it stay readable.
    const { loss, gradientNorm } = results;
    const isTaken = [loss, gradientNorm].every(
      (value) => value === undefined || Number.isFinite(Number(value.data[0])),
    );
    if (isTaken) {
      this.sides = [to, from];
      this.stepCount += 1;
    }
    return results;
  }

  private async allocateSums(): Promise<StateSide> {
    const sums: StateSide = {};
    for (const name of this.options.groups.flatMap((group) => group.parameters)) {
      sums[sumName(name)] = await this.engine.allocate("float32", this.sides[0][name].shape);
    }
    return sums;
  }

  /** The update for parameters that some batch had a gradient for; a handful of such sets occur. */
  private openUpdate(touched: ReadonlySet<string>): Promise<Session> {
    const names = this.options.groups.flatMap((group) => group.parameters);
    const key = names.map((name) => Number(touched.has(name))).join("");
    const shapes = new Map(names.map((name) => [name, this.sides[0][name].shape]));
    const known =
      this.updates.get(key) ??
      this.engine.open(updateGraph(this.options, shapes, touched), this.frozen);
    this.updates.set(key, known);
    return known;
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
