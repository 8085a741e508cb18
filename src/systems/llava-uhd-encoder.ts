import { OptionsError, PromptError } from "../errors.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { countViewTokens, merge4, merge16, type ViewReduction } from "../image/slice-plan.js";
import type { ImagePlan } from "../image/view-plan.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import type { TableSize } from "../vision/position-lookup.js";
import { splitStrip } from "../vision/split-strip.js";
import {
  type EncodeOptions,
  type Encoder,
  type EncoderContext,
  type MediaInput,
  openLazily,
  type PixelViews,
} from "./encoder.js";
import { FeatureCache } from "./feature-cache.js";
import { joinRows } from "./llava-encoder.js";
import { llavaSpliceGraph } from "./llava-graphs.js";
import type { LlavaUhdParams } from "./llava-uhd.js";
import { type LlavaUhdConfig, mergeLevels, offersFourfold } from "./llava-uhd-config.js";
import { llavaUhdVisionGraph } from "./llava-uhd-graphs.js";
import { uhdVisionFeeds, visualRows } from "./llava-uhd-input.js";
import { planSplice } from "./splice.js";
import { checkNoTokenChoice, type TokenChoice } from "./token-choice.js";

/** The mode that a request asks for, or the model's own. Throws `OptionsError` for 4x where there is none. */
export const modeOf = (
  { vision }: LlavaUhdConfig,
  choice: TokenChoice | undefined,
): DownsampleMode => {
  const mode = choice?.slicing?.downsampleMode ?? vision.downsampleMode;
  if (mode === "16x" || offersFourfold(vision)) return mode;
  throw new OptionsError(
    `generate: this model has no compressor to leave out, got downsampling ${JSON.stringify(mode)}; leave it out`,
  );
};

/** Patch grids of a plan's views. */
export const gridsOf = ({ views }: ImagePlan, { vision }: LlavaUhdConfig): TableSize[] =>
  views.map(({ output }) => ({
    rows: output.height / vision.tower.patchSizePx,
    columns: output.width / vision.tower.patchSizePx,
  }));

/** How many tokens views give, as planning counts them. */
export const reductionOf = ({ vision }: LlavaUhdConfig, mode: DownsampleMode): ViewReduction => {
  if (vision.connector.kind === "resampler") return { numQueries: vision.connector.numQueries };
  const levels = mergeLevels(vision, mode);
  return levels === 2 ? merge16 : levels === 1 ? merge4 : { mergeSide: 2 ** levels };
};

/** Tokens of every view of a plan, in its order. */
export const countUhdTokens = (
  plan: ImagePlan,
  config: LlavaUhdConfig,
  choice?: TokenChoice,
): number[] => {
  const reduction = reductionOf(config, modeOf(config, choice));
  return gridsOf(plan, config).map((patches) => countViewTokens({ patches }, reduction));
};

/** An image's tokens, the views in the order of the plan. */
const inPlanOrder = (tokens: TensorData, rows: readonly (readonly number[])[]): TensorData => {
  const [, width] = tokens.shape;
  const order = rows.flat();
  const data = new Float32Array(order.length * width);
  order.forEach((from, to) => {
    data.set(tokens.data.subarray(from * width, (from + 1) * width) as Float32Array, to * width);
  });
  return float32([order.length, width], data);
};

/**
 * LLaVA-UHD v4: the views of an image in packed runs (`planRuns`), a video frame by frame. Prompts have one
 * placeholder for every view (`expandMedia`).
 */
export const createLlavaUhdEncoder = (
  params: LlavaUhdParams,
  config: LlavaUhdConfig,
  { open, featureCacheBytes }: EncoderContext,
): Encoder => {
  const cache = new FeatureCache(featureCacheBytes);
  const visionSessions = new Map<string, ReturnType<typeof openLazily>>();
  const vision = (numGroups: number, mode: DownsampleMode) => {
    const key = `${mode} ${numGroups}`;
    const known =
      visionSessions.get(key) ??
      openLazily(open, () => llavaUhdVisionGraph(params, config.vision, numGroups, mode));
    visionSessions.set(key, known);
    return known();
  };
  const splice = openLazily(open, () => llavaSpliceGraph(params, config));

  const encodeImage = async (
    { pixels, plan, key }: PixelViews,
    mode: DownsampleMode,
  ): Promise<{ tokens: TensorData; isCached: boolean }> => {
    const cacheKey = `${mode} ${key}`;
    const known = cache.get(cacheKey)?.tokens;
    if (known !== undefined) return { tokens: known, isCached: true };
    const parts: TensorData[] = [];
    for (const strip of splitStrip({ pixelValues: pixels, grids: gridsOf(plan, config) })) {
      const { feeds, layout } = uhdVisionFeeds([strip], config.vision, mode);
      const session = await vision(layout.groups.length, mode);
      const results = await session.run(feeds);
      parts.push(inPlanOrder(results.tokens, visualRows(layout, config.vision)));
    }
    const tokens = joinRows(parts, parts[0].shape[1]);
    cache.set(cacheKey, { tokens });
    return { tokens, isCached: false };
  };

  const encodePrompt = async (
    ids: readonly number[],
    media: readonly MediaInput[],
    { signal, onProgress }: EncodeOptions = {},
  ) => {
    const startedMs = performance.now();
    const total = media.reduce(
      (sum, item) => sum + (item.kind === "image" ? 1 : item.numFrames),
      0,
    );
    const parts: TensorData[] = [];
    const rowsOfViews: number[][] = [];
    const visualTokens: number[] = [];
    let [numRows, cachedViews, done] = [0, 0, 0];

    const addImage = async (views: PixelViews, choice: TokenChoice | undefined) => {
      signal?.throwIfAborted();
      const { tokens, isCached } = await encodeImage(views, modeOf(config, choice));
      parts.push(tokens);
      cachedViews += Number(isCached);
      const counts = countUhdTokens(views.plan, config, choice);
      for (const count of counts) {
        rowsOfViews.push(Array.from({ length: count }, (_, index) => numRows + index));
        numRows += count;
      }
      onProgress?.(++done, total);
      return tokens.shape[0];
    };
    for (const item of media) {
      if (item.kind === "image") {
        visualTokens.push(await addImage(item.views, item.choice));
        continue;
      }
      let tokens = 0;
      for await (const frame of item.frames()) tokens += await addImage(frame, item.choice);
      if (tokens === 0) throw new PromptError("encodePrompt: a video needs at least one frame");
      visualTokens.push(tokens);
    }
    const visionMs = performance.now() - startedMs;

    const plan = planSplice([{ ids, visualRows: rowsOfViews }], ids.length, numRows);
    const session = await splice();
    const { embeddings } = await session.run({
      ids: int64(
        [ids.length],
        ids.map((id) => (id === imagePlaceholderId ? 0 : id)),
      ),
      visual: joinRows(parts, config.language.width),
      index: plan.index,
    });
    return {
      embeddings: embeddings as TensorData<"float32">,
      visualTokens,
      cachedViews,
      timings: { visionMs, fusionMs: performance.now() - startedMs - visionMs },
    };
  };

  const countImageTokens = (plan: ImagePlan, choice?: TokenChoice): number => {
    const tokens = countUhdTokens(plan, config, choice).reduce((sum, count) => sum + count, 0);
    if (choice !== undefined) {
      const { slicing: _, ...rest } = choice;
      checkNoTokenChoice(rest, tokens, config.system);
    }
    return tokens;
  };
  return {
    encodePrompt,
    countImageTokens,
    countViewTokens: (plan, choice) => countUhdTokens(plan, config, choice),
    countVideoTokens: (plan, numFrames, choice) => numFrames * countImageTokens(plan, choice),
  };
};
