/** What a request costs, known before anything runs and without weights. */
import { ContextOverflowError, OptionsError } from "../errors.js";
import { createGraph, type DimBindings, type Graph, input } from "../graph/index.js";
import type { Size } from "../image/image.js";
import { decoderGraph } from "../language/decoder-graph.js";
import { sequenceScores } from "../language/full-sequence.js";
import { llamaRopeTables } from "../language/llama.js";
import { listParameters } from "../nn/parameter-scope.js";
import type { ImageProcessorConfig } from "../systems/image-processing.js";
import {
  type CostPart,
  costParts,
  type GraphRun,
  onceNeeded,
  type PlannedMedium,
} from "../systems/run-plan.js";
import type { System } from "../systems/system.js";
import { visionFactsOf } from "../systems/vision-facts.js";
import { type DType, dtypeBytes, elementCount } from "../tensor-data.js";
import { estimateActivationBytes } from "./activation-bytes.js";
import { type CostConvention, conventions } from "./convention.js";
import { kvBytesPerToken, stateBytesPerSequence } from "./kv-bytes.js";
import { estimatePartOperations, evaluateParts, type PartOperations } from "./part-operations.js";
import { estimatePeakBytes } from "./peak-memory.js";
import { type MediumSize, planMedium } from "./planned-media.js";

/** What is asked, by sizes alone. */
export type CostRequest = {
  /** Images in order, or one video; none for text alone. */
  readonly media: readonly MediumSize[];
  /** Tokens of the prompt besides those of images: system text, template and question. */
  readonly textTokens: number;
  /** Tokens of the answer; the first comes from reading the prompt. Default 1. */
  readonly answerTokens?: number;
};

export type CostReport = {
  readonly system: string;
  readonly convention: string;
  /** Views of all media that the vision tower reads, in pixels, with the patches it makes of each. */
  readonly views: readonly (Size & { readonly patches: number })[];
  /** Tokens of the language model that all media take. */
  readonly visionTokens: number;
  readonly textTokens: number;
  readonly answerTokens: number;
  readonly flops: Readonly<Record<CostPart, number>> & {
    /** One generated token, the mean over the answer. */
    readonly perToken: number;
    /** Everything up to the answer's last token. */
    readonly total: number;
  };
  readonly bytes: {
    /** All parameters, as stored. */
    readonly weights: number;
    /** Keys and values of prompt and answer, and recurrent states. */
    readonly kvCache: number;
    /** Largest set of intermediate values that live at once, over all runs. */
    readonly activations: number;
    /** What a process takes at most besides the runtime itself; see `estimatePeakBytes`. */
    readonly peak: number;
  };
};

export type CostOptions = {
  readonly convention?: CostConvention;
  /** Bytes of the weights as they are stored; else all parameters as `weightType`. */
  readonly weightBytes?: number;
  readonly weightType?: DType;
  /** Type of keys and values; the engine keeps float32. */
  readonly cacheType?: DType;
  /** Tokens of one step of reading a prompt; as `loadModel`'s. */
  readonly prefillChunk?: number;
};

/** A system and how its images are processed: what `resolveModel` finds in a folder. */
export type CostModel = {
  readonly system: System;
  readonly processor: ImageProcessorConfig;
};

export type CostEstimator = (request: CostRequest) => CostReport;

const defaultPrefillChunk = 512;

/** Bytes of all parameters of a system in one type. */
export const weightBytesOf = (system: System, dtype: DType): number =>
  [...listParameters(system.params).values()].reduce(
    (sum, { shape }) => sum + elementCount(shape.map(Number)) * dtypeBytes[dtype],
    0,
  );

/** Whole sequences at once, scores of every place: what training computes. */
const fullSequenceGraph = ({ params, language }: System): Graph => {
  const scores = sequenceScores(
    params.language,
    input("embeddings", "float32", ["B", "T", language.width]),
    {
      positions: input("positions", "int64", ["B", "T"]),
      tokenMask: input("tokenMask", "bool", ["B", "T"]),
      tables: llamaRopeTables(language, 1),
    },
    language,
  );
  return createGraph("full-sequence", { scores });
};

/** The language model's runs for reading `length` tokens. */
const planPrefill = (
  decoder: Graph,
  full: () => Graph,
  length: number,
  chunk: number,
  { head, prefill }: Pick<CostConvention, "head" | "prefill">,
): GraphRun[] => {
  const part = "prefill" as const;
  if (head === "every") {
    return [{ graph: full(), bindings: { B: 1, T: length }, times: 1, part }];
  }
  const step = prefill === "whole" ? length : chunk;
  return Array.from({ length: Math.ceil(length / step) }, (_, index) => {
    const end = Math.min(length, (index + 1) * step);
    const bindings = { B: 1, T: end - index * step, S: end };
    return { graph: decoder, bindings, times: 1, part };
  });
};

const checkCount = (what: string, count: number, least: number): void => {
  if (Number.isSafeInteger(count) && count >= least) return;
  throw new OptionsError(
    `estimateCost: ${what} must be a whole number of at least ${least}, got ${count}`,
  );
};

/**
 * Makes an estimator for one model; graphs are built once, so that many requests are cheap. It throws
 * what planning the media throws, `OptionsError` for counts that are none, and `ContextOverflowError`
 * for what the model would refuse.
 */
export const createCostEstimator = (
  { system, processor }: CostModel,
  {
    convention = conventions.true,
    weightType = "float32",
    weightBytes = weightBytesOf(system, weightType),
    cacheType = "float32",
    prefillChunk = defaultPrefillChunk,
  }: CostOptions = {},
): CostEstimator => {
  checkCount("prefillChunk", prefillChunk, 1);
  const { config, language, params } = system;
  // Tables of positions cost nothing to run; one place will do.
  const decoder = onceNeeded(() => decoderGraph(params.language, language, 1));
  const full = onceNeeded(() => fullSequenceGraph(system));
  const planBilled = system.createRunPlanner(convention);
  // Memory is what our own runs take, whatever the convention.
  const planRuns = system.createRunPlanner(conventions.true);

  const prices = new Map<Graph, PartOperations>();
  const priceOf = ({ graph, part }: GraphRun): PartOperations => {
    const known = prices.get(graph);
    if (known !== undefined) return known;
    const price = estimatePartOperations(graph, part, convention);
    prices.set(graph, price);
    return price;
  };
  const flopsOf = (run: GraphRun): Map<CostPart, number> => {
    const parts = evaluateParts(priceOf(run), run.bindings);
    return new Map([...parts].map(([part, flops]) => [part, run.times * flops]));
  };
  const sumOf = (parts: ReadonlyMap<CostPart, number>): number =>
    [...parts.values()].reduce((sum, flops) => sum + flops, 0);
  const liveBytes = ({ graph, bindings }: GraphRun): number =>
    estimateActivationBytes(graph, bindings);

  return ({ media, textTokens, answerTokens = 1 }) => {
    checkCount("textTokens", textTokens, 0);
    checkCount("answerTokens", answerTokens, 1);
    const planned: PlannedMedium[] = media.map((medium) => planMedium(medium, config, processor));
    if (planned.length > system.maxMedia) {
      throw new OptionsError(
        `estimateCost: ${config.system} takes ${system.maxMedia} image or video at most, got ${planned.length}; give several as the frames of a video`,
      );
    }
    const request = { media: planned, textTokens };
    const { runs, visualTokens } = planBilled(request);
    const promptTokens = textTokens + visualTokens;
    checkCount("tokens of the prompt", promptTokens, 1);
    if (promptTokens + answerTokens > config.maxLength) {
      throw new ContextOverflowError(
        `estimateCost: ${promptTokens} tokens of a prompt and ${answerTokens} of its answer do not fit into ` +
          `the context of ${config.maxLength}; take fewer frames or images, or less text`,
      );
    }

    const flops: Record<CostPart, number> = {
      vision: 0,
      projector: 0,
      compression: 0,
      fusion: 0,
      router: 0,
      prefill: 0,
    };
    const read = planPrefill(decoder(), full, promptTokens, prefillChunk, convention);
    for (const run of [...runs, ...read]) {
      for (const [part, operations] of flopsOf(run)) flops[part] += operations;
    }
    // What a token attends to grows by one a step: the mean is that of the middle step.
    const steps = answerTokens - 1;
    const attended = promptTokens + (Math.max(1, steps) + 1) / 2;
    const oneToken: DimBindings = { B: 1, T: 1, S: attended };
    const perToken = sumOf(
      flopsOf({ graph: decoder(), bindings: oneToken, times: 1, part: "prefill" }),
    );
    const total = costParts.reduce((sum, part) => sum + flops[part], steps * perToken);

    const own = planRuns(request);
    const ownRuns = [
      ...own.runs,
      ...planPrefill(decoder(), full, promptTokens, prefillChunk, conventions.true),
    ];
    const kvCache =
      (promptTokens + answerTokens) * kvBytesPerToken(language, cacheType) +
      stateBytesPerSequence(language, cacheType);
    const patchPx = visionFactsOf(config).patchSidePx;
    return {
      system: config.system,
      convention: convention.name,
      views: planned.flatMap(({ plan, numFrames }) =>
        Array.from({ length: numFrames }, () =>
          plan.views.map(({ output: { width, height } }) => ({
            width,
            height,
            patches: Math.floor(width / patchPx) * Math.floor(height / patchPx),
          })),
        ).flat(),
      ),
      visionTokens: visualTokens,
      textTokens,
      answerTokens,
      flops: { ...flops, perToken, total },
      bytes: {
        weights: weightBytes,
        kvCache,
        activations: Math.max(...ownRuns.map(liveBytes)),
        peak: Math.round(estimatePeakBytes(ownRuns, weightBytes + kvCache)),
      },
    };
  };
};

/** What one request costs a model. Throws as the estimator of `createCostEstimator`. */
export const estimateCost = (
  model: CostModel,
  request: CostRequest,
  options?: CostOptions,
): CostReport => createCostEstimator(model, options)(request);
