import { z } from "zod";
import { ModelConfigError } from "../errors.js";
import type { AttentionBias } from "../nn/attention-block.js";
import { parseRopeScaling, type RopeScaling } from "./rope-frequencies.js";

export type LlamaConfig = {
  readonly vocabularySize: number;
  readonly width: number;
  readonly mlpWidth: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKeyValueHeads: number;
  readonly headWidth: number;
  readonly normEpsilon: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Largest number of tokens that the model was made for. */
  readonly contextLength: number;
  readonly tiedHead: boolean;
  readonly attentionBias: AttentionBias;
  /** Whether each head's queries and keys are normalised before they are turned (Qwen3). */
  readonly queryKeyNorm?: boolean;
  /** Whether attention's result is gated by a second half of the query projection (Qwen3-Next). */
  readonly outputGate?: boolean;
  /** Whether weights of the norms are stored less one (Qwen3-Next). */
  readonly zeroCentredNorms?: boolean;
  /** First elements of each head that are turned by its place; all when absent. */
  readonly rotaryWidth?: number;
  /** Layers that keep a recurrent state in place of keys and values; none when absent. */
  readonly deltaNet?: DeltaNetConfig;
  readonly mlpBias: boolean;
};

/** Layers of linear attention by the gated delta rule. */
export type DeltaNetConfig = {
  /** Which layers of the decoder are such. */
  readonly layers: readonly boolean[];
  readonly numKeyHeads: number;
  /** Each key head serves so many consecutive value heads as there are more of them. */
  readonly numValueHeads: number;
  readonly keyWidth: number;
  readonly valueWidth: number;
  /** Tokens that the convolution before the recurrence sees, its own included. */
  readonly kernelSize: number;
};

/** The recurrence of a layer, or undefined where the layer attends. */
export const deltaNetOf = (
  { deltaNet }: Pick<LlamaConfig, "deltaNet">,
  layerIndex: number,
): DeltaNetConfig | undefined => (deltaNet?.layers[layerIndex] ? deltaNet : undefined);

/** Layers that keep keys and values of every token. */
export const countAttentionLayers = ({ numLayers, deltaNet }: LlamaConfig): number =>
  numLayers - (deltaNet?.layers.filter(Boolean).length ?? 0);

const published = z.object({
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().nullish(),
  head_dim: z.int().positive().nullish(),
  hidden_act: z.literal("silu").default("silu"),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().default(10_000),
  rope_scaling: z.unknown().optional(),
  max_position_embeddings: z.int().positive().default(2048),
  tie_word_embeddings: z.boolean().default(false),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
});

/** Reads a `LlamaForCausalLM` config (or the decoder's part of a LLaVA config). */
export const parseLlamaConfig = (config: unknown): LlamaConfig => {
  const parsed = published.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(`parseLlamaConfig: ${z.prettifyError(parsed.error)}`);
  }
  const fields = parsed.data;
  const numHeads = fields.num_attention_heads;
  const numKeyValueHeads = fields.num_key_value_heads ?? numHeads;
  const headWidth = fields.head_dim ?? fields.hidden_size / numHeads;
  if (!Number.isInteger(headWidth) || headWidth % 2 !== 0 || numHeads % numKeyValueHeads !== 0) {
    throw new ModelConfigError(
      `parseLlamaConfig: heads must divide the width evenly, got hidden_size ${fields.hidden_size}, ` +
        `num_attention_heads ${numHeads}, num_key_value_heads ${numKeyValueHeads}`,
    );
  }
  return {
    vocabularySize: fields.vocab_size,
    width: fields.hidden_size,
    mlpWidth: fields.intermediate_size,
    numLayers: fields.num_hidden_layers,
    numHeads,
    numKeyValueHeads,
    headWidth,
    normEpsilon: fields.rms_norm_eps,
    ropeTheta: fields.rope_theta,
    ropeScaling: parseRopeScaling(fields.rope_scaling),
    contextLength: fields.max_position_embeddings,
    tiedHead: fields.tie_word_embeddings,
    attentionBias: fields.attention_bias,
    mlpBias: fields.mlp_bias,
  };
};
