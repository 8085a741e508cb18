import { createGraph, type Engine, type ParameterSource, type Tensor } from "../graph/index.js";
import type { TensorData } from "../tensor-data.js";
import type { TrainStepOptions } from "./step-graph.js";
import { Trainer, type TrainState } from "./train-step.js";
import type { Trainable } from "./trainable.js";

/** The loss for one batch shape, as a function of inputs that a batch feeds. */
export type LossPass<Batch> = {
  readonly loss: Tensor;
  /** Places of the language model in all readings. */
  readonly numPlaces: number;
  feeds(batch: Batch): Record<string, TensorData>;
};

/** What is minimised over batches of one kind; a graph is made for each shape that comes. */
export type Objective<Batch, Shape> = {
  /** All parameters of the model, trained or not, by full name; none of them fed. */
  readonly declared: ReadonlyMap<string, Tensor>;
  open(shape: Shape): LossPass<Batch>;
  /** What a batch's mean loss is over, such as supervised tokens. */
  countUnits(batch: Batch): number;
  shapeOf(batch: Batch): Shape;
  /** Whether parameters of vision take part; a batch of text leaves them as they are. */
  hasImages(shape: Shape): boolean;
};

export type ObjectiveTrainableOptions = TrainStepOptions & {
  /** Where training starts: trained parameters, and moments when it goes on. */
  readonly state: TrainState;
  /** Parameters that do not train. */
  readonly frozen: ParameterSource;
  readonly stepsTaken?: number;
};

/** A model in training; steps are made ready once for each batch shape that comes. */
export const createObjectiveTrainable = async <Batch, Shape>(
  engine: Engine,
  { declared, open, countUnits, shapeOf, hasImages }: Objective<Batch, Shape>,
  { state, frozen, stepsTaken, ...options }: ObjectiveTrainableOptions,
): Promise<Trainable<Batch>> => {
  const shapes = new Map([...declared].map(([name, { shape }]) => [name, shape]));
  const trainer = await Trainer.create(engine, options, { state, frozen, stepsTaken });
  const keptShapesOf = (shape: Shape) => (hasImages(shape) ? undefined : shapes);

  const opened: Promise<{ close(): Promise<void> }>[] = [];
  const remember = <Value>(make: (shape: Shape) => Promise<Value>) => {
    const made = new Map<string, Promise<Value>>();
    return (shape: Shape): Promise<Value> => {
      const key = JSON.stringify(shape);
      const known = made.get(key) ?? make(shape);
      made.set(key, known);
      return known;
    };
  };
  const stepFor = remember(async (shape) => {
    const pass = open(shape);
    const step = trainer.openStep(pass.loss, { keptShapes: keptShapesOf(shape) });
    opened.push(step);
    return { pass, step: await step };
  });
  const accumulationFor = remember(async (shape) => {
    const pass = open(shape);
    const step = trainer.openAccumulation(pass.loss, { keptShapes: keptShapesOf(shape) });
    opened.push(step);
    return { pass, step: await step };
  });
  const evaluationFor = remember(async (shape) => {
    const pass = open(shape);
    const session = trainer.openForward(createGraph("evaluate", { loss: pass.loss }));
    opened.push(session);
    return { pass, session: await session };
  });

  const accumulate = async (batch: Batch) => {
    const { pass, step } = await accumulationFor(shapeOf(batch));
    const tokens = countUnits(batch);
    const { loss } = await step.run(pass.feeds(batch), tokens);
    return { loss: Number(loss.data[0]), tokens };
  };

  return {
    groups: options.groups.map(({ name, parameters }) => ({
      name,
      parameters: parameters.map((parameter) => ({
        name: parameter,
        shape: declared.get(parameter)?.shape.map(Number) ?? [],
      })),
    })),
    accumulate,
    step: async (batch, rates) => {
      if (trainer.isAccumulating) {
        const last = await accumulate(batch);
        const { gradientNorm } = await trainer.applyAccumulated(rates);
        return { ...last, gradientNorm: Number(gradientNorm.data[0]) };
      }
      const { pass, step } = await stepFor(shapeOf(batch));
      const results = await step.run(pass.feeds(batch), rates);
      return {
        loss: Number(results.loss.data[0]),
        gradientNorm: Number(results.gradientNorm.data[0]),
        tokens: countUnits(batch),
      };
    },
    evaluate: async (batch) => {
      const { pass, session } = await evaluationFor(shapeOf(batch));
      const { loss } = await session.run(pass.feeds(batch));
      return { loss: Number(loss.data[0]), tokens: countUnits(batch) };
    },
    state: () => trainer.state(),
    close: async () => {
      for (const session of opened) await (await session).close();
      await trainer.close();
    },
  };
};
