/**
 * LLaVA (Liu et al. 2023, 2024; arXiv 2304.08485, 2310.03744): every patch of every view becomes a
 * token of the language model. The full-token baseline, and the frame the other systems fill.
 */
import { normal, reshape, type Tensor } from "../graph/index.js";
import { type LlamaParams, llamaNames, llamaParams } from "../language/llama.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type ClipParams,
  clipHiddenState,
  clipNames,
  clipParams,
  dropClassToken,
} from "../vision/clip.js";
import {
  type ProjectorParams,
  projector,
  projectorNames,
  projectorParams,
} from "../vision/projector.js";
import type { LlavaConfig } from "./llava-config.js";

export type LlavaParams = {
  readonly vision: ClipParams;
  readonly projector: ProjectorParams;
  readonly language: LlamaParams;
  /** Ends every row of tiles in LLaVA-NeXT, [D]. */
  readonly imageNewline?: Tensor;
};

export const llavaParams = (scope: ParameterScope, config: LlavaConfig): LlavaParams => ({
  vision: clipParams(scope.child("vision"), config.vision),
  projector: projectorParams(scope.child("projector"), {
    inWidth: config.vision.width,
    outWidth: config.language.width,
    numLayers: config.projectorLayers,
  }),
  language: llamaParams(scope.child("language"), config.language),
  ...(config.mergeType === "spatial_unpad" && {
    imageNewline: scope.parameter(
      "imageNewline",
      [config.language.width],
      normal(1 / Math.sqrt(config.language.width)),
    ),
  }),
});

/** Features that LLaVA reads off the vision tower. pixels [V, 3, side, side] → [V, N, Dv]. */
export const llavaFeatures = (
  params: LlavaParams,
  pixels: Tensor,
  config: LlavaConfig,
  taps?: Taps,
): Tensor => {
  const hidden = clipHiddenState(params.vision, pixels, config.vision, config.visionLayer, taps);
  const features = config.keepsClassToken ? hidden : dropClassToken(hidden);
  return taps?.add("features", features) ?? features;
};

/** Visual tokens of every view. pixels [V, 3, side, side] → [V, N, D]. */
export const llavaVisualTokens = (
  params: LlavaParams,
  pixels: Tensor,
  config: LlavaConfig,
  taps?: Taps,
): Tensor => projector(params.projector, llavaFeatures(params, pixels, config, taps));

/** The newline as one row, [1, D]. */
export const newlineRow = (newline: Tensor): Tensor => reshape(newline, [1, newline.shape[0]]);

type Rules = readonly (readonly [string, string])[];

const below = (own: string, published: string, rules: Rules): Rules =>
  rules.map(([internal, name]) => [`${own}.${internal}`, published + name] as const);

/** Published names of LLaVA's parameters in each layout. */
export const llavaNames = (config: LlavaConfig): Rules =>
  config.layout === "original"
    ? [
        ...below("vision", "model.vision_tower.vision_tower.vision_model.", clipNames),
        ...below("projector", "model.", projectorNames(config.projectorLayers)),
        ...below("language", "", llamaNames),
        ["imageNewline", "model.image_newline"],
      ]
    : [
        ...below("vision", "vision_tower.vision_model.", clipNames),
        ["projector.layers.0", "multi_modal_projector.linear_1"],
        ["projector.layers.1", "multi_modal_projector.linear_2"],
        ...below("language", "language_model.", llamaNames),
        ["imageNewline", "image_newline"],
      ];
