import { conventions } from "../cost/convention.js";
import { planMedium } from "../cost/planned-media.js";
import { LimitError, OptionsError } from "../errors.js";
import { createDecoder, type DecoderCache } from "../generate/decoder.js";
import { createNodeEngine, type NodeEngineOptions } from "../graph/engine.node.js";
import type { Graph, ParameterSource } from "../graph/index.js";
import type { RgbImage } from "../image/image.js";
import type { MediaInput, PixelViews } from "../systems/encoder.js";
import {
  createImageProcessing,
  type ImageProcessing,
  type ProcessedImage,
} from "../systems/image-processing.js";
import type { CostPart } from "../systems/run-plan.js";
import type { System } from "../systems/system.js";
import { dtypeBytes, elementCount } from "../tensor-data.js";
import { type MeasuredModel, resolveMeasuredModel } from "./measured-model.node.js";
import { costRequestOf, type MeasuredRequest, promptIds } from "./measured-request.js";
import { ownMemoryBytes, peakOwnBytes, resetPeak } from "./peak-memory.node.js";
import {
  type RandomWeightsFile,
  randomFloats,
  randomParameters,
  sharedLayerName,
} from "./random-weights.node.js";
import { createStageTimer } from "./stage-timer.js";

/** What a system is opened with. */
export type MeasuredSystemOptions = NodeEngineOptions & {
  readonly model: MeasuredModel;
  readonly request: MeasuredRequest;
  /** Weights of presets. */
  readonly weights?: RandomWeightsFile & {
    /** Whether all layers of the language model, and of pre-fusion, have the bytes of one. */
    readonly sharesLayers: boolean;
  };
};

/** Milliseconds of one run; those of the parts add up to `firstTokenMs`. */
export type RunTimes = {
  /** From pixels in memory to the scores of the answer's first token. */
  readonly firstTokenMs: number;
  readonly parts: Readonly<Record<CostPart | "processing" | "between", number>>;
  /** All further tokens of the answer. */
  readonly decodeMs: number;
};

export type MeasuredRun = RunTimes & {
  readonly visionTokens: number;
  readonly promptTokens: number;
  /** What a router chose. */
  readonly routed?: number;
  readonly cacheBytes: number;
  /** Peak growth of the process's own memory, mapped weights left out; absent where nothing tells. */
  readonly ownBytes?: number;
  /** Processor time of the whole process. */
  readonly processorMs: number;
};

export type MeasuredSystem = { run(): Promise<MeasuredRun>; close(): Promise<void> };

/** Makes the router, which runs as it is, vote for one granularity: its norm's bias decides. */
const votingFor =
  (source: ParameterSource, choice: number): ParameterSource =>
  (name, shape) => {
    const fill = { "router.norm.weight": 1e-6, "router.norm.bias": 0 }[name];
    if (fill === undefined) return source(name, shape);
    const values = new Float32Array(elementCount(shape)).fill(fill);
    if (name === "router.norm.bias") values[choice] = 1;
    return { dtype: "float32", content: new Uint8Array(values.buffer) };
  };

const supposeRoute = (
  { config }: System,
  { granularity, runsRouter }: MeasuredRequest,
  source: ParameterSource,
): ParameterSource => {
  if (granularity === undefined || runsRouter === false || !("granularities" in config)) {
    return source;
  }
  const { granularities } = config as { granularities: readonly { readonly tokens: number }[] };
  return votingFor(
    source,
    granularities.findIndex(({ tokens }) => tokens === granularity),
  );
};

/** Makes the views of a random image or video anew, and counts the time it takes. */
const createMedium = (
  processing: ImageProcessing,
  { image: size, numFrames, granularity, runsRouter }: MeasuredRequest,
) => {
  const pixels = size.width * size.height * 3;
  const image: RgbImage = {
    ...size,
    data: new Uint8Array(randomFloats(Math.ceil(pixels / 4)).buffer, 0, pixels),
  };
  const choice =
    granularity !== undefined && runsRouter === false ? { choice: { granularity } } : {};
  let spentMs = 0;
  const timed = async <Value>(work: () => Value | Promise<Value>): Promise<Value> => {
    const startedMs = performance.now();
    try {
      return await work();
    } finally {
      spentMs += performance.now() - startedMs;
    }
  };
  let numMade = 0;
  const viewsOf = (processed: ProcessedImage): PixelViews => ({
    ...processed,
    key: String(numMade++),
  });
  async function* frames(): AsyncGenerator<PixelViews> {
    async function* images() {
      for (let index = 0; index < (numFrames ?? 0); index += 1) yield image;
    }
    const made = processing.processFrames(images())[Symbol.asyncIterator]();
    for (;;) {
      const next = await timed(() => made.next());
      if (next.done) return;
      yield viewsOf(next.value);
    }
  }
  return {
    make: async (): Promise<MediaInput> => {
      if (numFrames !== undefined) return { kind: "video", numFrames, frames, ...choice };
      const processed = await timed(() =>
        processing.processImage(image, processing.planImage(size, choice.choice)),
      );
      return { kind: "image", views: viewsOf(processed), ...choice };
    },
    takeMs: (): number => {
      const taken = spentMs;
      spentMs = 0;
      return taken;
    },
  };
};

const bytesOf = ({ layers }: DecoderCache): number =>
  layers
    .flatMap((memories) => Object.values(memories))
    .reduce((sum, { shape, dtype }) => sum + elementCount(shape) * dtypeBytes[dtype], 0);

/**
 * Opens a system to be measured in this process. Every run starts from pixels and keeps nothing of the
 * one before. Throws what `resolveMeasuredModel` and planning throw.
 */
export const openMeasuredSystem = async ({
  model,
  request,
  weights,
  ...engineOptions
}: MeasuredSystemOptions): Promise<MeasuredSystem> => {
  const { model: resolved, stored } = await resolveMeasuredModel(model);
  const { system, processor } = resolved;
  const { config, language } = system;
  if (stored === undefined && weights === undefined) {
    throw new OptionsError(`measure: ${model.name} has no weights of its own; give random ones`);
  }
  const source =
    stored?.parameters ??
    randomParameters(
      weights as RandomWeightsFile,
      weights?.sharesLayers ? sharedLayerName : undefined,
    );
  const { media, textTokens, answerTokens = 1 } = costRequestOf(request);
  const planned = media.map((medium) => planMedium(medium, config, processor));
  const { runs, visualTokens } = system.createRunPlanner(conventions.true)({
    media: planned,
    textTokens,
  });
  const partOfGraph = new Map(runs.map(({ graph, part }) => [graph.name, part]));

  const baseBytes = ownMemoryBytes();
  const engine = createNodeEngine(engineOptions);
  try {
    const parameters = supposeRoute(system, request, source);
    const timer = createStageTimer(
      (graph: Graph) => engine.open(graph, parameters),
      ({ name }) => partOfGraph.get(name) ?? "prefill",
    );
    const capacity = textTokens + visualTokens + answerTokens;
    const encoder = system.createEncoder({
      open: timer.open,
      featureCacheBytes: 0,
      maxPromptTokens: textTokens + planned.length,
    });
    const decoder = await createDecoder(engine, timer.open, system.params.language, language, {
      contextLength: capacity,
    });
    const cache = await decoder.createCache(1, capacity);
    const [{ plan, numFrames, choice }] = planned;
    const places = encoder.countViewTokens?.(plan, choice).length ?? 0;
    const numPlaceholders = encoder.countViewTokens === undefined ? 1 : places * numFrames;
    const ids = promptIds(textTokens, numPlaceholders, language.vocabularySize);
    const medium = createMedium(createImageProcessing(config, processor), request);

    const run = async (): Promise<MeasuredRun> => {
      cache.lengths[0] = 0;
      timer.take();
      resetPeak();
      const processor = process.cpuUsage();
      const startedMs = performance.now();
      const encoded = await encoder.encodePrompt(ids, [await medium.make()]);
      await decoder.prefill(cache, 0, encoded.embeddings);
      const wallMs = performance.now() - startedMs;
      const { parts, openMs } = timer.take();
      const processingMs = medium.takeMs();

      const decodeStartedMs = performance.now();
      for (let token = 1; token < answerTokens; token += 1) await decoder.step(cache, [ids[0]]);
      const decodeMs = performance.now() - decodeStartedMs;

      const firstTokenMs = wallMs - openMs;
      const named = Object.values(parts).reduce((sum, ms) => sum + ms, processingMs);
      const promptTokens = encoded.embeddings.shape[1];
      const route = encoded.routes?.[0]?.[0];
      if (promptTokens > textTokens + visualTokens) {
        throw new LimitError(
          `measure: ${visualTokens} vision tokens were planned and ${promptTokens - textTokens} produced; the plan of ${config.system} is wrong`,
        );
      }
      const { user, system: kernel } = process.cpuUsage(processor);
      const peakBytes = peakOwnBytes();
      return {
        firstTokenMs,
        parts: { processing: processingMs, ...parts, between: firstTokenMs - named },
        decodeMs,
        visionTokens: promptTokens - textTokens,
        promptTokens,
        ...(route?.chosenBy === "router" && { routed: route.granularity }),
        cacheBytes: bytesOf(cache),
        ...(peakBytes !== undefined &&
          baseBytes !== undefined && { ownBytes: peakBytes - baseBytes }),
        processorMs: (user + kernel) / 1000,
      };
    };
    return { run, close: () => engine.close() };
  } catch (error) {
    await engine.close();
    throw error;
  }
};
