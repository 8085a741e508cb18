/**
 * MoonViT (Kimi Team 2025, "Kimi-VL", arXiv 2504.07491, section 2.1; released `MoonViT-SO-400M`):
 * SigLIP-so400m continued at native resolution, with a learned 64 x 64 table interpolated to the
 * view and queries and keys turned by their column and row (2-D RoPE).
 */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import type { PackedTowerConfig } from "./packed-tower.js";

const published = z.object({
  hidden_size: z.int().positive().default(1152),
  intermediate_size: z.int().positive().default(4304),
  num_hidden_layers: z.int().positive().default(27),
  num_attention_heads: z.int().positive().default(16),
  patch_size: z.int().positive().default(14),
  init_pos_emb_height: z.int().positive().default(64),
  init_pos_emb_width: z.int().positive().default(64),
});

/** Reads a `moonvit` config. Heads must divide into fours: pairs of a column's and a row's angle. */
export const parseMoonvitConfig = (config: unknown): PackedTowerConfig => {
  const parsed = published.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseMoonvitConfig: ${z.prettifyError(parsed.error)}`);
  }
  const fields = parsed.data;
  if (fields.hidden_size % (4 * fields.num_attention_heads) !== 0) {
    throw new ModelConfigError(
      `parseMoonvitConfig: the width of a head must be a multiple of 4, got hidden_size ${fields.hidden_size} and ` +
        `num_attention_heads ${fields.num_attention_heads}`,
    );
  }
  return {
    kind: "moonvit",
    width: fields.hidden_size,
    mlpWidth: fields.intermediate_size,
    numHeads: fields.num_attention_heads,
    normEpsilon: 1e-5,
    activation: "gelu_pytorch_tanh",
    jointProjection: true,
    numChannels: 3,
    patchSizePx: fields.patch_size,
    numLayers: fields.num_hidden_layers,
    numUsedLayers: fields.num_hidden_layers,
    positions: {
      table: { rows: fields.init_pos_emb_height, columns: fields.init_pos_emb_width },
      lookup: "bicubic",
    },
    rotaryTheta: 10_000,
    patchBias: true,
    hasClassToken: false,
    hasInputNorm: false,
    hasOutputNorm: true,
    usesOutputNorm: true,
  };
};

/** Published names of the parameters, below the vision model's own prefix. */
export const moonvitNames: readonly (readonly [string, string])[] = [
  ["patchEmbedding", "patch_embed.proj"],
  ["positions", "patch_embed.pos_emb.weight"],
  ["postNorm", "encoder.final_layernorm"],
  ["layers.{i}.norm1", "encoder.blocks.{i}.norm0"],
  ["layers.{i}.norm2", "encoder.blocks.{i}.norm1"],
  ["layers.{i}.attention.input", "encoder.blocks.{i}.wqkv"],
  ["layers.{i}.attention.output", "encoder.blocks.{i}.wo"],
  ["layers.{i}.mlp.up", "encoder.blocks.{i}.mlp.fc0"],
  ["layers.{i}.mlp.down", "encoder.blocks.{i}.mlp.fc1"],
];
