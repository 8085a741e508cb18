import { PromptError } from "../errors.js";
import type { ImagePlan } from "../image/view-plan.js";
import { int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { clipGridSide } from "../vision/clip.js";
import {
  type EncodeOptions,
  type Encoder,
  type EncoderContext,
  type MediaInput,
  openLazily,
  type PixelViews,
} from "./encoder.js";
import { FeatureCache } from "./feature-cache.js";
import type { LlavaParams } from "./llava.js";
import { type LlavaConfig, tokensPerView } from "./llava-config.js";
import { llavaSpliceGraph, llavaVisionGraph } from "./llava-graphs.js";
import { newlineIndex, planSpatialUnpad } from "./llava-next.js";
import { planSplice } from "./splice.js";

/** Views' tokens in the order in which they enter the language model; `newlineIndex` is the newline. */
export const planImageTokens = (plan: ImagePlan, config: LlavaConfig): number[] =>
  config.mergeType === "spatial_unpad" && plan.views.length > 1
    ? planSpatialUnpad(plan, clipGridSide(config.vision))
    : Array.from({ length: plan.views.length * tokensPerView(config) }, (_, index) => index);

const joinRows = (parts: readonly TensorData[], width: number): TensorData<"float32"> => {
  const length = parts.reduce((sum, part) => sum + part.data.length, 0);
  const data = new Float32Array(length);
  let offset = 0;
  for (const part of parts) {
    data.set(part.data as Float32Array, offset);
    offset += part.data.length;
  }
  return { dtype: "float32", shape: [length / width, width], data };
};

/** LLaVA-1.5 and LLaVA-NeXT: all tokens of all views; a video is its frames' images in a row. */
export const createLlavaEncoder = (
  params: LlavaParams,
  config: LlavaConfig,
  { open, featureCacheBytes }: EncoderContext,
): Encoder => {
  const width = config.language.width;
  const cache = new FeatureCache(featureCacheBytes);
  // The newline is the last visual row; models without one have a zero row there, never used.
  const hasNewline = params.imageNewline !== undefined;

  const vision = openLazily(open, () => llavaVisionGraph(params, config));
  const splice = openLazily(open, () => llavaSpliceGraph(params, config));

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
    const rowsOfMedia: number[][] = [];
    let numRows = 0;
    let cachedViews = 0;
    let done = 0;

    const encodeImage = async (views: PixelViews): Promise<number[]> => {
      signal?.throwIfAborted();
      let tokens = cache.get(views.key)?.tokens;
      if (tokens === undefined) {
        const session = await vision();
        ({ tokens } = await session.run({ pixels: views.pixels }));
        cache.set(views.key, { tokens });
      } else {
        cachedViews += 1;
      }
      const first = numRows;
      parts.push(tokens);
      numRows += tokens.shape[0] * tokens.shape[1];
      onProgress?.(++done, total);
      return planImageTokens(views.plan, config).map((index) =>
        index === newlineIndex ? newlineIndex : first + index,
      );
    };
    for (const item of media) {
      if (item.kind === "image") {
        rowsOfMedia.push(await encodeImage(item.views));
        continue;
      }
      const rows: number[] = [];
      for await (const frame of item.frames()) rows.push(...(await encodeImage(frame)));
      if (rows.length === 0)
        throw new PromptError("encodePrompt: a video needs at least one frame");
      rowsOfMedia.push(rows);
    }
    const visionMs = performance.now() - startedMs;

    const placed = rowsOfMedia.map((rows) =>
      rows.map((row) => (row === newlineIndex ? numRows : row)),
    );
    const plan = planSplice(
      [{ ids, visualRows: placed }],
      ids.length,
      numRows + (hasNewline ? 1 : 0),
    );
    const session = await splice();
    const { embeddings } = await session.run({
      ids: int64(
        [ids.length],
        ids.map((id) => (id === imagePlaceholderId ? 0 : id)),
      ),
      visual: joinRows(parts, width),
      index: plan.index,
    });
    return {
      embeddings: embeddings as TensorData<"float32">,
      visualTokens: rowsOfMedia.map((rows) => rows.length),
      cachedViews,
      timings: { visionMs, fusionMs: performance.now() - startedMs - visionMs },
    };
  };

  const countImageTokens = (plan: ImagePlan): number => planImageTokens(plan, config).length;
  return {
    encodePrompt,
    countImageTokens,
    countVideoTokens: (plan, numFrames) => numFrames * countImageTokens(plan),
  };
};
