import { PromptError } from "../errors.js";
import { embeddingGraph } from "../language/decoder-graph.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import {
  type EncodeOptions,
  type Encoder,
  type EncoderContext,
  type MediaInput,
  openLazily,
  type PixelViews,
} from "./encoder.js";
import { FeatureCache, type Features } from "./feature-cache.js";
import { type LlavaMiniParams, llavaMiniVisualShapes, planFusion } from "./llava-mini.js";
import { compressorConfig, type LlavaMiniConfig } from "./llava-mini-config.js";
import {
  llavaMiniFusionGraph,
  llavaMiniSpliceGraph,
  llavaMiniVisionGraph,
} from "./llava-mini-graphs.js";
import { planSplice } from "./splice.js";
import { checkNoTokenChoice, type TokenChoice } from "./token-choice.js";

/** The method fuses a prompt with one image or video; the reference breaks on a second one. */
const checkMedia = (media: readonly MediaInput[]): void => {
  if (media.length > 1) {
    throw new PromptError(
      `encodePrompt: LLaVA-Mini takes one image or video for a conversation, got ${media.length}; ` +
        "give several images as the frames of a video, or use LLaVA",
    );
  }
};

/**
 * LLaVA-Mini: each image or frame is fused with the whole prompt by itself. Compressed tokens of a
 * video follow each other in time; its fused text is the mean over frames, kept as a running mean in
 * float32 so that a clip of any length takes the memory of one frame.
 */
export const createLlavaMiniEncoder = (
  params: LlavaMiniParams,
  config: LlavaMiniConfig,
  { open, featureCacheBytes, maxPromptTokens }: EncoderContext,
): Encoder => {
  const width = config.language.width;
  const numCompressed = compressorConfig(config).gridSide ** 2;
  const shapes = llavaMiniVisualShapes(config, 1);
  const cache = new FeatureCache(featureCacheBytes);

  const vision = openLazily(open, () => llavaMiniVisionGraph(params, config));
  const fuse = openLazily(open, () => llavaMiniFusionGraph(params, config, maxPromptTokens));
  const embed = openLazily(open, () => embeddingGraph(params.language));
  const splice = openLazily(open, () => llavaMiniSpliceGraph(config));

  const blankImage = (): MediaInput => {
    const [, ...shape] = shapes.pixels;
    const values = new Float32Array(shape.reduce((count, side) => count * side, 1));
    const image = { width: config.vision.imageSizePx, height: config.vision.imageSizePx };
    const plan = { image, views: [], grid: { columns: 0, rows: 0 } };
    return { kind: "image", views: { pixels: float32(shape, values), plan, key: "blank" } };
  };

  const encodePrompt = async (
    ids: readonly number[],
    media: readonly MediaInput[],
    { signal, isAnswer, onProgress }: EncodeOptions = {},
  ) => {
    checkMedia(media);
    const isBlank = media.length === 0 && config.variant.textOnlyPrompts === "blank-image";
    const item = isBlank ? blankImage() : media[0];
    const knownIds = int64(
      [1, ids.length],
      ids.map((id) => (id === imagePlaceholderId ? 0 : id)),
    );
    const timings = { visionMs: 0, fusionMs: 0 };
    if (item === undefined) {
      // As in the reference: without an image, pre-fusion is skipped.
      const startedMs = performance.now();
      planSplice([{ ids, visualRows: [] }], ids.length, 0);
      const { embeddings: text } = await (await embed()).run({ ids: knownIds });
      timings.fusionMs = performance.now() - startedMs;
      const embeddings = text as TensorData<"float32">;
      return { embeddings, visualTokens: [], cachedViews: 0, timings };
    }

    const rawAnswers = config.variant.earlierAnswers === "raw" ? isAnswer : undefined;
    const { keyMask, positions } = planFusion([ids], config, rawAnswers && [rawAnswers]);
    // Without fusion layers nothing has a position.
    const fusionPlan = { keyMask, ...(config.prefusionLayers > 0 && { positions }) };
    const total = item.kind === "image" ? 1 : item.numFrames;
    const compressed: Float32Array[] = [];
    let text = new Float32Array(0);
    let cachedViews = 0;

    const fuseFrame = async (views: PixelViews): Promise<void> => {
      signal?.throwIfAborted();
      const startedMs = performance.now();
      let visual: Features | undefined = cache.get(views.key);
      if (visual === undefined) {
        const { data, shape } = views.pixels;
        const pixels = float32([1, ...shape], data);
        visual = await (await vision()).run({ pixels });
        cache.set(views.key, visual);
      } else {
        cachedViews += 1;
      }
      timings.visionMs += performance.now() - startedMs;
      const fusionStartedMs = performance.now();
      const session = await fuse();
      const fused = await session.run({ ids: knownIds, ...fusionPlan, ...visual });
      compressed.push(fused.fusedCompressed.data as Float32Array);
      const frameText = fused.fusedText.data as Float32Array;
      if (compressed.length === 1) {
        text = frameText.slice();
      } else {
        // Running sum in float32; divided by the number of frames below, as the reference does.
        for (let index = 0; index < text.length; index += 1) text[index] += frameText[index];
      }
      timings.fusionMs += performance.now() - fusionStartedMs;
      onProgress?.(compressed.length, total);
    };
    if (item.kind === "image") await fuseFrame(item.views);
    else for await (const frame of item.frames()) await fuseFrame(frame);
    if (compressed.length === 0) {
      throw new PromptError("encodePrompt: a video needs at least one frame, got none");
    }
    const numFrames = compressed.length;
    if (numFrames > 1)
      for (let index = 0; index < text.length; index += 1) text[index] /= numFrames;

    const spliceStartedMs = performance.now();
    const numRows = numFrames * numCompressed;
    const visual = new Float32Array(numRows * width);
    compressed.forEach((rows, frame) => {
      visual.set(rows, frame * numCompressed * width);
    });
    // A blank image only goes into the fusion; the prompt has no place for its tokens.
    const visualRows = isBlank ? [] : [Array.from({ length: numRows }, (_, row) => row)];
    const { index } = planSplice([{ ids, visualRows }], ids.length, numRows);
    const { embeddings } = await (await splice()).run({
      text: float32([ids.length, width], text),
      visual: float32([numRows, width], visual),
      index,
    });
    timings.fusionMs += performance.now() - spliceStartedMs;
    return {
      embeddings: embeddings as TensorData<"float32">,
      visualTokens: visualRows.map((rows) => rows.length),
      cachedViews,
      timings,
    };
  };

  const countFrame = (choice: TokenChoice = {}): number => {
    checkNoTokenChoice(choice, numCompressed, config.system);
    return numCompressed;
  };
  return {
    encodePrompt,
    countImageTokens: (_, choice) => countFrame(choice),
    countVideoTokens: (_, numFrames, choice) => numFrames * countFrame(choice),
  };
};
