/**
 * LLaVA-Mini (Zhang et al. 2025, arXiv 2501.03895): the question is fused with all patches first,
 * and the language model then reads C² visual tokens per image or frame, one by default.
 */
import {
  concat,
  type Dim,
  multiplyDims,
  type RopeTables,
  reshape,
  slice,
  type Tensor,
  transpose,
} from "../graph/index.js";
import { embedTokens } from "../language/llama.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type PrefusionParams,
  prefusion,
  prefusionNames,
  prefusionParams,
} from "../reduce/prefusion.js";
import {
  type QueryCompressorParams,
  queryCompressor,
  queryCompressorNames,
  queryCompressorParams,
} from "../reduce/query-compressor.js";
import { bool, int64, type TensorData } from "../tensor-data.js";
import { clipGridSide } from "../vision/clip.js";
import { projector } from "../vision/projector.js";
import { type LlavaParams, llavaFeatures, llavaNames, llavaParams } from "./llava.js";
import {
  compressorConfig,
  fusedPatches,
  type LlavaMiniConfig,
  viewsPerImage,
} from "./llava-mini-config.js";

export type LlavaMiniParams = LlavaParams & {
  readonly compressor: QueryCompressorParams;
  readonly prefusion: PrefusionParams;
};

export const llavaMiniParams = (
  scope: ParameterScope,
  config: LlavaMiniConfig,
): LlavaMiniParams => ({
  ...llavaParams(scope, config),
  compressor: queryCompressorParams(scope.child("compressor"), compressorConfig(config)),
  prefusion: prefusionParams(scope.child("prefusion"), config.prefusionLayers, config.language),
});

export const llavaMiniNames = (config: LlavaMiniConfig): readonly (readonly [string, string])[] => [
  ...llavaNames(config),
  ...queryCompressorNames.map(
    ([own, published]) => [`compressor.${own}`, `model.compressor.${published}`] as const,
  ),
  ...prefusionNames.map(([own, published]) => [`prefusion.${own}`, `model.${published}`] as const),
];

/**
 * Features of n × n sub-images as one raster grid of n times the side.
 * [B, n², N, D] → [B, n²·N, D].
 */
const stitchSubImages = (features: Tensor, side: number, numPerSide: number): Tensor => {
  const [batch, , , width] = features.shape;
  const cells = reshape(features, [batch, numPerSide, numPerSide, side, side, width]);
  const raster = transpose(cells, [0, 1, 3, 2, 4, 5]); // [B, n, side, n, side, D]
  return reshape(raster, [batch, (numPerSide * side) ** 2, width]);
};

/** What a question is fused with; depends on the image alone, so it may be kept. */
export type LlavaMiniVisual = {
  readonly patches: Tensor; // [B, N, D], projected: sub-images in raster order, then the whole image
  readonly compressed: Tensor; // [B, C*C, D]
};

/** pixels [B, P, 3, side, side], P = 1 or N² + 1 with the whole image last → patches, compressed. */
export const llavaMiniVisual = (
  params: LlavaMiniParams,
  pixels: Tensor,
  config: LlavaMiniConfig,
  taps?: Taps,
): LlavaMiniVisual => {
  const [batch, views, ...sides] = pixels.shape;
  const features = llavaFeatures(
    params,
    reshape(pixels, [multiplyDims(batch, views), ...sides]),
    config,
    taps?.under("vision"),
  ); // [B*P, N, Dv]
  const side = clipGridSide(config.vision);
  const ratio = config.resolutionRatio;
  const numPatches = side * side;
  const width = config.vision.width;
  const project = (x: Tensor, name: string): Tensor => {
    const projected = projector(params.projector, x);
    return taps?.add(`projector.${name}`, projected) ?? projected;
  };

  let raster: Tensor; // what the compressor reads, [B, N or n²·N, Dv]
  let patches: Tensor;
  if (ratio === 1) {
    raster = features;
    patches = project(features, "global");
  } else {
    const byImage = reshape(features, [batch, views, numPatches, width]);
    const subImages = slice(byImage, 1, 0, ratio * ratio);
    raster = stitchSubImages(subImages, side, ratio);
    taps?.add("compressor.raster", raster);
    const whole = reshape(slice(byImage, 1, ratio * ratio, ratio * ratio + 1), [
      batch,
      numPatches,
      width,
    ]);
    patches = concat([project(raster, "raster"), project(whole, "global")], 1);
  }

  const compressorTaps = taps?.under("compressor");
  const settings = compressorConfig(config);
  if (config.variant.compressFrom === "projected") {
    const source = ratio === 1 ? patches : slice(patches, 1, 0, ratio * ratio * numPatches);
    return {
      patches,
      compressed: queryCompressor(params.compressor, source, settings, compressorTaps),
    };
  }
  const compressed = queryCompressor(params.compressor, raster, settings, compressorTaps);
  return { patches, compressed: project(compressed, "compressed") };
};

/** What pre-fusion may see and where everything stands in it. */
export type FusionPlan = {
  readonly keyMask: TensorData<"bool">; // [B, S]
  readonly positions: TensorData<"int64">; // [B, S]
};

/**
 * Plans pre-fusion of a batch of prompts of equal length: places that are left out take no position
 * (their own is 1, as in the reference) and are no keys. `leftOut` [B][L] adds places to those that
 * the variant leaves out: padding, or answers in training.
 */
export const planFusion = (
  ids: readonly (readonly number[])[],
  config: LlavaMiniConfig,
  leftOut?: readonly (readonly boolean[])[],
): FusionPlan => {
  const numCompressed =
    config.variant.compressedTokens === "fused" ? config.compressorSide ** 2 : 0;
  const numVisual = fusedPatches(config) + numCompressed;
  const masks = ids.map((sample, sampleIndex) => [
    ...new Array<boolean>(numVisual).fill(true),
    ...sample.map((id, place) => {
      const missing = config.variant.leftOutOfFusion === "ids-up-to-zero" ? id <= 0 : id < 0;
      return !missing && leftOut?.[sampleIndex]?.[place] !== true;
    }),
  ]);
  const shape = [masks.length, masks[0]?.length ?? 0];
  const positions = masks.flatMap((mask) => {
    let next = 0;
    return mask.map((kept) => (kept ? next++ : 1));
  });
  return { keyMask: bool(shape, masks.flat()), positions: int64(shape, positions) };
};

export type FusionInput = {
  readonly visual: LlavaMiniVisual;
  readonly ids: Tensor; // [B, L] int64, placeholders replaced by any id
  readonly keyMask: Tensor; // [B, S] bool
  readonly positions: Tensor; // [B, S] int64
  readonly tables: RopeTables;
};

/** Fuses questions with their images. Returns compressed tokens [B, C*C, D] and text [B, L, D]. */
export const llavaMiniFuse = (
  params: LlavaMiniParams,
  { visual, ids, keyMask, positions, tables }: FusionInput,
  config: LlavaMiniConfig,
  taps?: Taps,
): { readonly compressed: Tensor; readonly text: Tensor } => {
  const text = embedTokens(params.language, ids);
  taps?.add("text", text);
  return prefusion(
    params.prefusion,
    { ...visual, text, keyMask, positions, tables },
    config.language,
    { compressedTokens: config.variant.compressedTokens },
    taps?.under("prefusion"),
  );
};

/** Shapes that `llavaMiniVisual` gives for a batch of `batch` images, for declaring inputs. */
export const llavaMiniVisualShapes = (config: LlavaMiniConfig, batch: Dim) => ({
  pixels: [
    batch,
    viewsPerImage(config),
    3,
    config.vision.imageSizePx,
    config.vision.imageSizePx,
  ] as const,
  patches: [batch, fusedPatches(config), config.language.width] as const,
  compressed: [batch, config.compressorSide ** 2, config.language.width] as const,
});
