/**
 * SigLIP 2's vision transformer (Tschannen et al. 2025, arXiv 2502.14786; so400m: width 1152, 27
 * layers, 16 heads, patch 14) as LLaVA-UHD v4 and MiniCPM-V read it: native view sizes, a 70 x 70
 * position table by nearest entry, no class token, no pooling head.
 */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import { encoderLayerNames } from "./encoder-layer.js";
import type { PackedTowerConfig } from "./packed-tower.js";

const published = z.object({
  hidden_size: z.int().positive().default(1152),
  intermediate_size: z.int().positive().default(4304),
  num_hidden_layers: z.int().positive().default(27),
  num_attention_heads: z.int().positive().default(16),
  num_channels: z.int().positive().default(3),
  image_size: z.int().positive().default(980),
  patch_size: z.int().positive().default(14),
  hidden_act: z.enum(["gelu_pytorch_tanh", "gelu", "quick_gelu"]).default("gelu_pytorch_tanh"),
  layer_norm_eps: z.number().positive().default(1e-6),
});

/** Reads a SigLIP `vision_config`; `image_size` gives the side of the position table. */
export const parseSiglipConfig = (config: unknown): PackedTowerConfig => {
  const parsed = published.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseSiglipConfig: ${z.prettifyError(parsed.error)}`);
  }
  const fields = parsed.data;
  const side = Math.floor(fields.image_size / fields.patch_size);
  if (fields.hidden_size % fields.num_attention_heads !== 0 || side < 1) {
    throw new ModelConfigError(
      `parseSiglipConfig: hidden_size must divide into num_attention_heads and image_size hold a patch, got ` +
        `${fields.hidden_size}, ${fields.num_attention_heads}, ${fields.image_size} and ${fields.patch_size}`,
    );
  }
  return {
    kind: "siglip",
    width: fields.hidden_size,
    mlpWidth: fields.intermediate_size,
    numHeads: fields.num_attention_heads,
    normEpsilon: fields.layer_norm_eps,
    activation: fields.hidden_act,
    numChannels: fields.num_channels,
    patchSizePx: fields.patch_size,
    numLayers: fields.num_hidden_layers,
    numUsedLayers: fields.num_hidden_layers,
    positions: { table: { rows: side, columns: side }, lookup: "bucket" },
    patchBias: true,
    hasClassToken: false,
    hasInputNorm: false,
    hasOutputNorm: true,
    usesOutputNorm: true,
  };
};

/** Published names of the parameters, below the vision model's own prefix. */
export const siglipNames: readonly (readonly [string, string])[] = [
  ["patchEmbedding", "embeddings.patch_embedding"],
  ["positions", "embeddings.position_embedding.weight"],
  ["postNorm", "post_layernorm"],
  ...encoderLayerNames.map(
    ([own, name]) => [`layers.{i}.${own}`, `encoder.layers.{i}.${name}`] as const,
  ),
];
