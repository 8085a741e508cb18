import { createGraph, type Engine, type ParameterSource } from "../graph/index.js";
import { listParameters } from "../nn/parameter-scope.js";
import type { BatchShape, LabelledBatch } from "../systems/labelled-batch.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import { createObjective, type ObjectiveOptions } from "./stage-objective.js";
import type { TrainStepOptions } from "./step-graph.js";
import { Trainer, type TrainState } from "./train-step.js";
import type { Trainable } from "./trainable.js";

export type VisionLanguageTrainableOptions = TrainStepOptions &
  Omit<ObjectiveOptions, "isFed"> & {
    /** Where training starts: trained parameters, and moments when it goes on. */
    readonly state: TrainState;
    /** Parameters that do not train. */
    readonly frozen: ParameterSource;
    readonly stepsTaken?: number;
  };

const shapeOf = ({ ids, pixels }: LabelledBatch): BatchShape => ({
  batch: ids.length,
  textLength: ids[0]?.length ?? 0,
  hasImages: pixels !== undefined,
});

/** A LLaVA-like system in training; steps are made ready once for each batch shape that comes. */
export const createVisionLanguageTrainable = async (
  engine: Engine,
  config: LlavaConfig,
  {
    state,
    frozen,
    stepsTaken,
    trainsEmbeddings,
    objective: objectiveName,
    ranking,
    ...options
  }: VisionLanguageTrainableOptions,
): Promise<Trainable<LabelledBatch>> => {
  const trained = new Set(options.groups.flatMap(({ parameters }) => parameters));
  const isFed = (name: string): boolean => trained.has(name);
  const { open, countUnits } = createObjective(config, {
    isFed,
    trainsEmbeddings,
    objective: objectiveName,
    ranking,
  });
  const declared = listParameters(createObjective(config).params);
  const shapes = new Map([...declared].map(([name, { shape }]) => [name, shape]));
  const trainer = await Trainer.create(engine, options, { state, frozen, stepsTaken });

  const opened: Promise<{ close(): Promise<void> }>[] = [];
  const remember = <Value>(make: (shape: BatchShape) => Promise<Value>) => {
    const made = new Map<string, Promise<Value>>();
    return (shape: BatchShape): Promise<Value> => {
      const key = JSON.stringify(shape);
      const known = made.get(key) ?? make(shape);
      made.set(key, known);
      return known;
    };
  };
  const stepFor = remember(async (shape) => {
    const pass = open(shape);
    // A batch of text leaves the parameters of vision as they are.
    const keptShapes = shape.hasImages ? undefined : shapes;
    const step = trainer.openStep(pass.loss, { keptShapes });
    opened.push(step);
    return { pass, step: await step };
  });
  const accumulationFor = remember(async (shape) => {
    const pass = open(shape);
    const step = trainer.openAccumulation(pass.loss, {
      keptShapes: shape.hasImages ? undefined : shapes,
    });
    opened.push(step);
    return { pass, step: await step };
  });
  const evaluationFor = remember(async (shape) => {
    const pass = open(shape);
    const session = trainer.openForward(createGraph("evaluate", { loss: pass.loss }));
    opened.push(session);
    return { pass, session: await session };
  });

  const accumulate = async (batch: LabelledBatch) => {
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
