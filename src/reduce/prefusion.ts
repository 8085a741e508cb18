/**
 * LLaVA-Mini's modality pre-fusion (Zhang et al. 2025, arXiv 2501.03895, section 4.1, Eq. 3): a few
 * decoder layers, of the language model's own shape, over `[patches | compressed | question]`. The
 * question's tokens take up what they need of the image before the language model runs.
 *
 * Released code against paper: the compressed tokens go through as well and their outputs are used;
 * attention is causal over the whole row; the last layer's residual stream is used without a norm.
 */
import {
  addDims,
  concat,
  gradientCheckpoint,
  type RopeTables,
  reshape,
  slice,
  subtractDims,
  type Tensor,
  where,
} from "../graph/index.js";
import {
  type LlamaLayerParams,
  llamaLayer,
  llamaLayerNames,
  llamaLayerParams,
} from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import type { Taps } from "../nn/taps.js";

export type PrefusionParams = { readonly layers: readonly LlamaLayerParams[] };

export const prefusionParams = (
  scope: ParameterScope,
  numLayers: number,
  language: LlamaConfig,
): PrefusionParams => ({
  layers: scope.list("layers", numLayers, (layer, index) =>
    llamaLayerParams(layer, language, index),
  ),
});

export type PrefusionInput = {
  readonly patches: Tensor; // [B, N, D]
  readonly compressed: Tensor; // [B, M, D]
  readonly text: Tensor; // [B, L, D]
  /** Whether a place may be attended to; where a text place may not, its raw embedding is kept. */
  readonly keyMask: Tensor; // [B, N + M + L] bool
  readonly positions: Tensor; // [B, N + M + L] int64
  readonly tables: RopeTables;
};

export type PrefusionOptions = {
  /** `fused`: compressed tokens go through (released code); `bypass`: they stay as they are (paper). */
  readonly compressedTokens: "fused" | "bypass";
};

/** Returns the compressed tokens [B, M, D] and the fused text [B, L, D] for the language model. */
export const prefusion = (
  params: PrefusionParams,
  { patches, compressed, text, keyMask, positions, tables }: PrefusionInput,
  language: LlamaConfig,
  { compressedTokens }: PrefusionOptions,
  taps?: Taps,
): { readonly compressed: Tensor; readonly text: Tensor } => {
  const parts = compressedTokens === "fused" ? [patches, compressed, text] : [patches, text];
  let x = concat(parts, 1);
  taps?.add("input", x);
  const bias = keyMaskBias(keyMask);
  params.layers.forEach((layer, index) => {
    const context = { kind: "full", positions, tables, bias } as const;
    const name = `layers.${index}`;
    const { output } = llamaLayer(layer, x, context, index, language, taps?.under(name));
    x = gradientCheckpoint(output, x, [bias]);
    taps?.add(name, x);
  });
  const total = x.shape[1];
  const textStart = subtractDims(total, text.shape[1]);
  const [batch, length] = text.shape;
  const textMask = reshape(slice(keyMask, 1, textStart, total), [batch, length, 1]);
  const fusedText = where(textMask, slice(x, 1, textStart, total), text);
  const patchEnd = patches.shape[1];
  const fusedCompressed =
    compressedTokens === "fused"
      ? slice(x, 1, patchEnd, addDims(patchEnd, compressed.shape[1]))
      : compressed;
  taps?.add("compressed", fusedCompressed);
  taps?.add("text", fusedText);
  return { compressed: fusedCompressed, text: fusedText };
};

/** Published names, below `model.`. */
export const prefusionNames: readonly (readonly [string, string])[] = llamaLayerNames.map(
  ([own, published]) => [`layers.{i}.${own}`, `prefusion_layers.{i}.${published}`] as const,
);
