import { PromptError } from "../errors.js";
import type { ImagePlan } from "../image/view-plan.js";
import { int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
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
import { type LlavaConfig, tokensPerView, viewGrid } from "./llava-config.js";
import { llavaSpliceGraph, llavaVisionGraph } from "./llava-graphs.js";
import { newlineIndex, planSpatialUnpad } from "./llava-next.js";
import { planSplice } from "./splice.js";
import {
  checkNoTokenChoice,
  type TokenChoice,
  type TokenOptions,
  type TokenRoute,
} from "./token-choice.js";

/** Views' tokens in the order in which they enter the language model; `newlineIndex` is the newline. */
export const planImageTokens = (plan: ImagePlan, config: LlavaConfig): number[] =>
  config.mergeType === "spatial_unpad" && plan.views.length > 1
    ? planSpatialUnpad(plan, viewGrid(config))
    : Array.from({ length: plan.views.length * tokensPerView(config) }, (_, index) => index);

/** The visual tokens of an image as a prompt takes them. */
export type LaidOutImage = {
  readonly tokens: TensorData; // [V, M, D]
  /** Rows of `tokens` in the order in which the language model reads them; `newlineIndex` is the newline. */
  readonly layout: readonly number[];
  /** What was chosen, where there was a choice. */
  readonly route?: TokenRoute;
  readonly routerMs?: number;
};

/** What a system does to an image's tokens before the language model reads them. */
export type ImageReduction = {
  /** Says what there is to choose, where there is a choice. */
  readonly tokenOptions?: (plan: ImagePlan, choice?: TokenChoice) => TokenOptions;
  /** Rows of an image of this plan: exactly, or the most that a router may choose. */
  count(plan: ImagePlan, choice?: TokenChoice): number;
  layOut(image: {
    readonly tokens: TensorData; // [V, N, D]
    readonly plan: ImagePlan;
    /** Ids of the prompt's text. */
    readonly textIds: readonly number[];
    readonly choice?: TokenChoice;
  }): Promise<LaidOutImage> | LaidOutImage;
};

/** Every token of every view. */
const keepAll = (config: LlavaConfig): ImageReduction => ({
  count: (plan, choice = {}) => {
    const { length } = planImageTokens(plan, config);
    checkNoTokenChoice(choice, length, config.system);
    return length;
  },
  layOut: ({ tokens, plan }) => ({ tokens, layout: planImageTokens(plan, config) }),
});

export type LlavaEncoderOptions = {
  /** What becomes of an image's tokens; all are kept when absent. */
  readonly reduction?: ImageReduction;
  /** Whether earlier answers are part of the text that the reduction reads. */
  readonly readsAnswers?: boolean;
};

/** Rows of several tensors as one matrix, [rows, width]. */
export const joinRows = (parts: readonly TensorData[], width: number): TensorData<"float32"> => {
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
  { reduction = keepAll(config), readsAnswers = true }: LlavaEncoderOptions = {},
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
    { signal, isAnswer, onProgress }: EncodeOptions = {},
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
    let routerMs: number | undefined;
    const routes: TokenRoute[][] = media.map(() => []);
    const textIds = ids.filter(
      (id, place) => id !== imagePlaceholderId && (readsAnswers || isAnswer?.[place] !== true),
    );

    const encodeImage = async (
      { key, pixels, plan }: PixelViews,
      choice: TokenChoice | undefined,
      ownRoutes: TokenRoute[],
    ): Promise<number[]> => {
      signal?.throwIfAborted();
      let tokens = cache.get(key)?.tokens;
      if (tokens === undefined) {
        const session = await vision();
        ({ tokens } = await session.run({ pixels }));
        cache.set(key, { tokens });
      } else {
        cachedViews += 1;
      }
      const laidOut = await reduction.layOut({
        tokens,
        plan,
        textIds,
        ...(choice && { choice }),
      });
      if (laidOut.route !== undefined) ownRoutes.push(laidOut.route);
      if (laidOut.routerMs !== undefined) routerMs = (routerMs ?? 0) + laidOut.routerMs;
      const first = numRows;
      parts.push(laidOut.tokens);
      numRows += laidOut.tokens.shape[0] * laidOut.tokens.shape[1];
      onProgress?.(++done, total);
      return laidOut.layout.map((index) => (index === newlineIndex ? newlineIndex : first + index));
    };
    for (const [index, item] of media.entries()) {
      const own = routes[index];
      if (item.kind === "image") {
        rowsOfMedia.push(await encodeImage(item.views, item.choice, own));
        continue;
      }
      const rows: number[] = [];
      for await (const frame of item.frames()) {
        for (const row of await encodeImage(frame, item.choice, own)) rows.push(row);
      }
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
      ...(reduction.tokenOptions && { routes }),
      timings: {
        visionMs,
        fusionMs: performance.now() - startedMs - visionMs,
        ...(routerMs !== undefined && { routerMs }),
      },
    };
  };

  return {
    encodePrompt,
    countImageTokens: (plan, choice) => reduction.count(plan, choice),
    countVideoTokens: (plan, numFrames, choice) => numFrames * reduction.count(plan, choice),
    ...(reduction.tokenOptions && { tokenOptions: reduction.tokenOptions }),
  };
};
