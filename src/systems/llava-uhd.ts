/**
 * LLaVA-UHD v4 (arXiv 2605.08985): a thumbnail and slices, all packed into one row; a compressor
 * inside the vision encoder after an early layer; a connector that merges again.
 */
import { GraphError } from "../errors.js";
import { type Dim, divideDims } from "../graph/index.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { type LlamaParams, llamaParams } from "../language/llama.js";
import { decoderNames } from "../language/qwen.js";
import type { PackedViews } from "../nn/packed-views.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";
import {
  type EarlyCompressorParams,
  earlyCompressor,
  earlyCompressorNames,
  earlyCompressorParams,
} from "../reduce/early-compressor.js";
import { type MergerParams, merger, mergerNames, mergerParams } from "../reduce/merger.js";
import {
  type ResamplerParams,
  type ResamplerPositions,
  resampler,
  resamplerNames,
  resamplerParams,
} from "../reduce/resampler.js";
import { clipNames } from "../vision/clip.js";
import { moonvitNames } from "../vision/moonvit.js";
import {
  type PackedTowerInput,
  type PackedTowerParams,
  packedEmbedding,
  packedLayer,
  packedOutput,
  packedTowerParams,
} from "../vision/packed-tower.js";
import { siglipNames } from "../vision/siglip.js";
import type { LlavaUhdConfig, UhdVisionConfig } from "./llava-uhd-config.js";

export type UhdVisionParams = {
  readonly vision: PackedTowerParams;
  readonly compressor?: EarlyCompressorParams;
  readonly merger?: MergerParams;
  readonly resampler?: ResamplerParams;
};

export const uhdVisionParams = (
  scope: ParameterScope,
  { tower, compressor, connector, outWidth }: UhdVisionConfig,
): UhdVisionParams => ({
  vision: packedTowerParams(scope.child("vision"), tower),
  ...(compressor && {
    compressor: earlyCompressorParams(scope.child("compressor"), {
      variant: compressor.variant,
      layer: tower,
    }),
  }),
  ...(connector.kind === "merger"
    ? {
        merger: mergerParams(scope.child("merger"), {
          inWidth: tower.width,
          outWidth,
          numStages: connector.numStages,
        }),
      }
    : {
        resampler: resamplerParams(scope.child("resampler"), {
          ...connector,
          inWidth: tower.width,
          outWidth,
        }),
      }),
});

export type UhdVisionInput = PackedTowerInput & {
  /** Where the tokens stand that a resampler reads. */
  readonly keys?: ResamplerPositions;
};

/**
 * Visual tokens of every view, in the order of the groups; a view's own in raster order. `mode` "4x"
 * leaves the compressor out. → [tokens of all views, D].
 */
export const uhdVisualTokens = (
  params: UhdVisionParams,
  input: UhdVisionInput,
  config: UhdVisionConfig,
  mode: DownsampleMode,
  taps?: Taps,
): PackedViews => {
  const { tower, compressor, connector, outWidth } = config;
  let x = packedEmbedding(params.vision, input, tower, taps);
  for (let index = 0; index < tower.numUsedLayers; index += 1) {
    x = packedLayer(params.vision.layers[index], x, tower, taps?.under(`layers.${index}`));
    taps?.add(`layers.${index}.output`, x.tokens);
    if (index === compressor?.afterLayer && params.compressor !== undefined && mode === "16x") {
      const settings = { variant: compressor.variant, layer: tower };
      x = earlyCompressor(params.compressor, x, settings, taps?.under("compressor"));
    }
  }
  const features = packedOutput(params.vision, x, tower, taps);
  if (connector.kind === "merger" && params.merger !== undefined) {
    const share = 4 ** connector.numStages;
    const tokens = merger(params.merger, features.tokens);
    taps?.add("tokens", tokens);
    return {
      tokens,
      groups: features.groups.map(({ numViews, numTokens }) => ({
        numViews,
        numTokens: divideDims(numTokens, share) as Dim,
      })),
    };
  }
  if (connector.kind === "resampler" && params.resampler !== undefined && input.keys) {
    const settings = { ...connector, inWidth: tower.width, outWidth };
    const resampled = resampler(params.resampler, features, input.keys, settings);
    taps?.add("tokens", resampled.tokens);
    return resampled;
  }
  throw new GraphError("uhdVisualTokens: a resampler needs the places of its keys, got none");
};

type Rules = readonly (readonly [string, string])[];

const below = (own: string, published: string, rules: Rules): Rules =>
  rules.map(([internal, name]) => [`${own}.${internal}`, published + name] as const);

const towerNames: Readonly<Record<UhdVisionConfig["tower"]["kind"], Rules>> = {
  siglip: siglipNames,
  moonvit: moonvitNames,
  clip: clipNames,
};

/** Published names of the vision part in each layout. */
export const uhdVisionNames = ({ layout, tower, compressor }: UhdVisionConfig): Rules => {
  const isTraining = layout === "training";
  const vision = isTraining ? "vpm." : "model.vision_tower.";
  const inside = isTraining ? "vit_merger." : "model.vision_tower.vit_merger.";
  const connector = isTraining ? "resampler." : "model.merger.";
  return [
    ...below("vision", vision, towerNames[tower.kind]),
    ...(compressor ? below("compressor", inside, earlyCompressorNames(compressor.variant)) : []),
    ...below("merger", connector, mergerNames(layout)),
    ...below("resampler", connector, resamplerNames),
  ];
};

export type LlavaUhdParams = UhdVisionParams & { readonly language: LlamaParams };

export const llavaUhdParams = (scope: ParameterScope, config: LlavaUhdConfig): LlavaUhdParams => ({
  ...uhdVisionParams(scope, config.vision),
  language: llamaParams(scope.child("language"), config.language),
});

/** Published names of the whole model in each layout. */
export const llavaUhdNames = ({ vision }: LlavaUhdConfig): Rules => [
  ...uhdVisionNames(vision),
  ...(vision.layout === "training"
    ? below("language", "llm.", decoderNames)
    : decoderNames.map(
        ([own, published]) =>
          [`language.${own}`, published.replace(/^model\./, "model.language_model.")] as const,
      )),
];
