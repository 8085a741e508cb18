/**
 * Settings of Qwen3.5's text model, which MiniCPM-V 4.6 answers with: of four layers three are Gated
 * DeltaNet and the fourth attends, with an output gate, norms on queries and keys, and places turned into
 * a part of each head. Semantics of Hugging Face's `Qwen3_5ForCausalLM`. Its three-part places
 * (`mrope_section`) are the ordinary ones where all three parts are equal, as in MiniCPM-V.
 */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import { type DeltaNetConfig, type LlamaConfig, parseLlamaConfig } from "./llama-config.js";

const layerTypes = ["linear_attention", "full_attention"] as const;

const published = z.object({
  num_hidden_layers: z.int().positive(),
  layer_types: z.array(z.enum(layerTypes)).nullish(),
  full_attention_interval: z.int().positive().default(4),
  linear_conv_kernel_dim: z.int().min(2).default(4),
  linear_key_head_dim: z.int().positive().default(128),
  linear_value_head_dim: z.int().positive().default(128),
  linear_num_key_heads: z.int().positive().default(16),
  linear_num_value_heads: z.int().positive().default(32),
  partial_rotary_factor: z.number().positive().max(1).optional(),
  rope_parameters: z
    .looseObject({ partial_rotary_factor: z.number().positive().max(1).optional() })
    .nullish(),
  attn_output_gate: z
    .literal(true, { error: "must be true; attention without its gate is not implemented" })
    .default(true),
});

/** What Hugging Face's config assumes where a file is silent, besides what LLaMA's does. */
const defaults = { head_dim: 256, max_position_embeddings: 32_768, rms_norm_eps: 1e-6 };
const defaultRotaryFactor = 0.25;

const fail = (rule: string): never => {
  throw new ModelConfigError(`parseQwen35Config: ${rule}; correct config.json`);
};

const parseDeltaNet = (fields: z.infer<typeof published>): DeltaNetConfig => {
  const numLayers = fields.num_hidden_layers;
  const every = fields.full_attention_interval;
  const types =
    fields.layer_types ??
    Array.from({ length: numLayers }, (_, index) => layerTypes[(index + 1) % every === 0 ? 1 : 0]);
  if (types.length !== numLayers) {
    fail(`layer_types must name ${numLayers} layers (num_hidden_layers), got ${types.length}`);
  }
  if (!types.includes("full_attention")) {
    fail("layer_types must hold a full_attention, got none; models without are not implemented");
  }
  const [keyHeads, valueHeads] = [fields.linear_num_key_heads, fields.linear_num_value_heads];
  if (valueHeads % keyHeads !== 0) {
    fail(
      `linear_num_value_heads must be a multiple of linear_num_key_heads, got ${valueHeads} and ${keyHeads}`,
    );
  }
  return {
    layers: types.map((type) => type === "linear_attention"),
    numKeyHeads: keyHeads,
    numValueHeads: valueHeads,
    keyWidth: fields.linear_key_head_dim,
    valueWidth: fields.linear_value_head_dim,
    kernelSize: fields.linear_conv_kernel_dim,
  };
};

/** Reads a `qwen3_5_text` config. Throws `ModelConfigError` for what does not fit or is not implemented. */
export const parseQwen35Config = (config: object): LlamaConfig => {
  const parsed = published.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseQwen35Config: ${z.prettifyError(parsed.error)}`);
  }
  const fields = parsed.data;
  const llama = parseLlamaConfig({ ...defaults, ...config });
  const factor =
    fields.rope_parameters?.partial_rotary_factor ??
    fields.partial_rotary_factor ??
    defaultRotaryFactor;
  const rotaryWidth = Math.trunc(llama.headWidth * factor);
  if (rotaryWidth < 2 || rotaryWidth % 2 !== 0) {
    fail(
      `partial_rotary_factor must turn an even number of elements, got ${factor} of a head of ${llama.headWidth}`,
    );
  }
  const deltaNet = parseDeltaNet(fields);
  return {
    ...llama,
    queryKeyNorm: true,
    outputGate: true,
    zeroCentredNorms: true,
    rotaryWidth,
    ...(deltaNet.layers.includes(true) && { deltaNet }),
  };
};
