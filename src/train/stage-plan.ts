/** What a stage will take, known before it runs. */
import { estimateActivationBytes } from "../cost/activation-bytes.js";
import { estimateGraphCost, matrixFlops } from "../cost/graph-cost.js";
import type { Graph } from "../graph/index.js";
import { elementCount } from "../tensor-data.js";
import type { StageRecipe } from "./recipe-schema.js";
import { planSteps } from "./stage.js";
import type { TrainableGroup } from "./trainable.js";

/** A stage that was not opened. */
export type StageDescription = {
  readonly groups: readonly TrainableGroup[];
  /** The step on the largest batch. */
  readonly graph: Graph;
  /** Places of the decoder in it, padding and images included. */
  readonly tokensPerBatch: number;
  readonly batchesPerEpoch?: number;
  /** Stored size of the weights that do not train. */
  readonly frozenBytes: number;
};

export type StagePlan = {
  readonly name: string;
  readonly groups: readonly {
    readonly name: string;
    readonly tensors: number;
    readonly parameters: number;
    readonly learningRate: number;
    readonly weightDecay: number;
  }[];
  readonly parameters: number;
  readonly steps: number;
  readonly samplesPerStep: number;
  /** Of the largest batch. */
  readonly tokensPerStep: number;
  readonly flopsPerStep: number;
  readonly memory: {
    /** Parameters and both moments, kept twice. */
    readonly stateBytes: number;
    /** Weights that do not train. */
    readonly frozenBytes: number;
    /** Values between forward and backward pass. */
    readonly activationBytes: number;
    readonly totalBytes: number;
  };
  /** Of a step on the largest batch, and of the stage if all were that large. */
  readonly secondsPerStep: number;
  readonly seconds: number;
};

/** Two sides, each with a parameter and two moments of four bytes. */
const stateBytesPerParameter = 24;
/**
 * What the engine takes besides: copies of the values that training starts from and of gradients. From
 * runs of decoders with 2 to 17 M parameters on ONNX Runtime's processor provider: with these two
 * figures the memory of all six was met within 22 %.
 */
const copyBytesPerParameter = 8;
/** Its arena grows by doubling and cannot join what lies in different blocks. */
const arenaFactor = 2;
/** Share of the bare matrix rate that whole steps reach. */
const stepEfficiency = 0.5;

/** `flopsPerSecond`: what the engine reaches in matrix products (`measureMatrixRate`). */
export const planStage = (
  stage: StageRecipe,
  description: StageDescription,
  flopsPerSecond: number,
): StagePlan => {
  const { graph, frozenBytes, tokensPerBatch } = description;
  const groups = description.groups.map(({ name, parameters }) => {
    const { learningRate = 0, weightDecay = 0 } =
      stage.groups.find((group) => group.name === name) ?? {};
    const count = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    return { name, tensors: parameters.length, parameters: count, learningRate, weightDecay };
  });
  const parameters = groups.reduce((sum, group) => sum + group.parameters, 0);
  const steps = planSteps(stage, description.batchesPerEpoch);
  const stateBytes = stateBytesPerParameter * parameters;
  const live = estimateActivationBytes(graph, {}, { isKept: (name) => name.startsWith("next.") });
  const activationBytes = copyBytesPerParameter * parameters + arenaFactor * live;
  const flopsPerStep = stage.accumulation * matrixFlops(estimateGraphCost(graph));
  const secondsPerStep = flopsPerStep / (stepEfficiency * flopsPerSecond);
  return {
    name: stage.name,
    groups,
    parameters,
    steps,
    samplesPerStep: stage.batchSize * stage.accumulation,
    tokensPerStep: tokensPerBatch * stage.accumulation,
    flopsPerStep,
    memory: {
      stateBytes,
      frozenBytes,
      activationBytes,
      totalBytes: stateBytes + frozenBytes + activationBytes,
    },
    secondsPerStep,
    seconds: steps * secondsPerStep,
  };
};
