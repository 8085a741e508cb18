/** What a stage will take, known before it runs. */
import { estimateActivationBytes } from "../cost/activation-bytes.js";
import { estimateGraphCost, matrixFlops } from "../cost/graph-cost.js";
import type { DimBindings, Graph } from "../graph/index.js";
import { elementCount } from "../tensor-data.js";
import type { StageRecipe } from "./recipe-schema.js";
import { planSteps } from "./stage.js";
import { isTrainerOutput } from "./step-graph.js";
import type { TrainableGroup } from "./trainable.js";

/** A stage that was not opened. */
export type StageDescription = {
  readonly groups: readonly TrainableGroup[];
  /** The step for each shape of batch, with the decoder's places in it, padding and images included. */
  readonly steps: readonly {
    readonly graph: Graph;
    /** Values of the sides that the graph leaves open, at worst. */
    readonly bindings?: DimBindings;
    readonly tokens: number;
  }[];
  /** The optimiser's own graph, where gradients of several batches are added up first. */
  readonly update?: Graph;
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
    /** Parameters and both moments, kept twice, and sums of gradients where they are added up. */
    readonly stateBytes: number;
    /** Weights that do not train. */
    readonly frozenBytes: number;
    /** Values between forward and backward pass, for all shapes of batches. */
    readonly activationBytes: number;
    readonly totalBytes: number;
  };
  /** Of a step on the largest batch, and of the stage if all were that large. */
  readonly secondsPerStep: number;
  readonly seconds: number;
};

/** Two sides, each with a parameter and two moments of four bytes. */
const stateBytesPerParameter = 24;
const sumBytesPerParameter = 4;
/**
 * What ONNX Runtime's processor provider takes besides, fitted to the steps of `bench/step-memory`: every
 * output is copied into a new array, some of which wait for the garbage collector; gradients; products'
 * operands; the values that training starts from.
 */
const copyBytesPerParameter = 32;
/** A graph of some thousand nodes with its kernels; one for each shape of batch. */
const sessionBytes = 40e6;
/** Share of the bare matrix rate that whole steps reach. */
const stepEfficiency = 0.5;

/** `flopsPerSecond`: what the engine reaches in matrix products (`measureMatrixRate`). */
export const planStage = (
  stage: StageRecipe,
  description: StageDescription,
  flopsPerSecond: number,
): StagePlan => {
  const { frozenBytes } = description;
  const groups = description.groups.map(({ name, parameters }) => {
    const { learningRate = 0, weightDecay = 0 } =
      stage.groups.find((group) => group.name === name) ?? {};
    const count = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    return { name, tensors: parameters.length, parameters: count, learningRate, weightDecay };
  });
  const parameters = groups.reduce((sum, group) => sum + group.parameters, 0);
  const steps = planSteps(stage, description.batchesPerEpoch);
  const { update } = description;
  const stateBytes =
    (stateBytesPerParameter + (update === undefined ? 0 : sumBytesPerParameter)) * parameters;
  // Every shape has a session of its own, and sessions keep their memory from step to step.
  const graphs: readonly Pick<StageDescription["steps"][number], "graph" | "bindings">[] = [
    ...description.steps,
    ...(update ? [{ graph: update }] : []),
  ];
  const live = graphs.map(({ graph, bindings = {} }) =>
    estimateActivationBytes(graph, bindings, { isKept: isTrainerOutput }),
  );
  const activationBytes =
    copyBytesPerParameter * parameters + live.reduce((sum, bytes) => sum + bytes + sessionBytes, 0);
  const flops = description.steps.map(({ graph, bindings }) =>
    matrixFlops(estimateGraphCost(graph, bindings)),
  );
  const flopsPerStep = stage.accumulation * Math.max(...flops);
  const secondsPerStep = flopsPerStep / (stepEfficiency * flopsPerSecond);
  return {
    name: stage.name,
    groups,
    parameters,
    steps,
    samplesPerStep: stage.batchSize * stage.accumulation,
    tokensPerStep: stage.accumulation * Math.max(...description.steps.map(({ tokens }) => tokens)),
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
