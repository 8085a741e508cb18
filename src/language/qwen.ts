/**
 * The Qwen decoders, as settings of the LLaMA decoder: Qwen2 and 2.5 (arXiv 2407.10671, 2412.15115)
 * add biases to query, key and value; Qwen3 (arXiv 2505.09388) drops them and normalises queries and
 * keys of each head instead. Semantics of Hugging Face's `Qwen2ForCausalLM` and `Qwen3ForCausalLM`.
 * Qwen3.5 is `qwen3-5.ts`.
 */
import { z } from "zod";
import { ModelConfigError, UnknownArchitectureError } from "../errors.js";
import { deltaNetNames } from "./gated-delta-net.js";
import { llamaNames } from "./llama.js";
import { type LlamaConfig, parseLlamaConfig } from "./llama-config.js";
import { parseQwen35Config } from "./qwen3-5.js";

const families = ["qwen2", "qwen3", "qwen3_5", "llama"] as const;
export type DecoderFamily = (typeof families)[number];

/** What Hugging Face's configs assume where a file is silent, besides what LLaMA's do. */
const qwenDefaults = { max_position_embeddings: 32_768, rms_norm_eps: 1e-6, rope_theta: 10_000 };

const fields = z.object({
  model_type: z.string().optional(),
  attention_bias: z.boolean().optional(),
  use_sliding_window: z.boolean().default(false),
  // Newer files keep theta and scaling together.
  rope_parameters: z.looseObject({ rope_theta: z.number().positive().optional() }).nullish(),
});

/** The family of a text config: by its `model_type` where it has one, else `fallback`. */
const familyOf = (modelType: string | undefined, fallback: DecoderFamily): DecoderFamily => {
  if (modelType === undefined) return fallback;
  const family = families.find((name) => modelType === name || modelType === `${name}_text`);
  if (family !== undefined) return family;
  throw new UnknownArchitectureError(
    `parseDecoderConfig: the language model must be ${families.join(", ")}, got ${JSON.stringify(modelType)}` +
      (/_moe|^qwen3_next/.test(modelType) ? "; mixtures of experts are not implemented" : ""),
  );
};

/**
 * Reads the config of a Qwen2, Qwen3, Qwen3.5 or LLaMA decoder, or the `text_config` of a larger model.
 * Throws `UnknownArchitectureError` for another family, `ModelConfigError` for values that do not fit
 * and for sliding windows, which are not implemented.
 */
export const parseDecoderConfig = (config: unknown, fallback: DecoderFamily): LlamaConfig => {
  const parsed = fields.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseDecoderConfig: ${z.prettifyError(parsed.error)}`);
  }
  const { model_type: modelType, use_sliding_window: slides, rope_parameters: rope } = parsed.data;
  const family = familyOf(modelType, fallback);
  if (slides) {
    throw new ModelConfigError(
      "parseDecoderConfig: use_sliding_window must be false, got true; attention windows of a decoder are not implemented",
    );
  }
  const rotation = rope && { rope_theta: rope.rope_theta, rope_scaling: rope };
  const merged = {
    ...(family === "llama" ? {} : qwenDefaults),
    ...rotation,
    ...(config as object),
  };
  if (family === "qwen3_5") return parseQwen35Config({ ...rotation, ...(config as object) });
  const llama = parseLlamaConfig(merged);
  if (family === "llama") return llama;
  if (family === "qwen2") return { ...llama, attentionBias: { input: true, output: false } };
  return { ...llama, queryKeyNorm: true };
};

/** Published names of the decoder's parameters, those of all families. */
export const decoderNames: readonly (readonly [string, string])[] = [
  ...llamaNames,
  ["layers.{i}.queryNorm", "model.layers.{i}.self_attn.q_norm"],
  ["layers.{i}.keyNorm", "model.layers.{i}.self_attn.k_norm"],
  ...deltaNetNames.map(
    ([own, published]) => [`layers.{i}.${own}`, `model.layers.{i}.${published}`] as const,
  ),
];
