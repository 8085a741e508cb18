/** Inverse frequencies of rotary embeddings, with the scalings that checkpoints use. */
import { z } from "zod";
import { ModelConfigError } from "../errors.js";

export type RopeScaling =
  | { readonly type: "none" }
  /** Every angle divided by `factor` (position interpolation, Chen et al. 2023). */
  | { readonly type: "linear"; readonly factor: number }
  /** Llama 3.1: long wavelengths divided by `factor`, short ones kept, a ramp between. */
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    };

const published = z
  .discriminatedUnion("rope_type", [
    z.object({ rope_type: z.literal("default") }),
    z.object({ rope_type: z.literal("linear"), factor: z.number().positive() }),
    z.object({
      rope_type: z.literal("llama3"),
      factor: z.number().positive(),
      low_freq_factor: z.number().positive(),
      high_freq_factor: z.number().positive(),
      original_max_position_embeddings: z.int().positive(),
    }),
  ])
  .nullish();

/** Reads `rope_scaling` of a config; older files say `type` instead of `rope_type`. */
export const parseRopeScaling = (config: unknown): RopeScaling => {
  const renamed =
    typeof config === "object" && config !== null && "type" in config && !("rope_type" in config)
      ? { ...config, rope_type: config.type }
      : config;
  const parsed = published.safeParse(renamed);
  if (!parsed.success) {
    throw new ModelConfigError(
      `parseRopeScaling: rope_scaling must be null, default, linear or llama3, got ${JSON.stringify(config)}: ${z.prettifyError(parsed.error)}`,
    );
  }
  const scaling = parsed.data;
  if (scaling === null || scaling === undefined || scaling.rope_type === "default") {
    return { type: "none" };
  }
  if (scaling.rope_type === "linear") return { type: "linear", factor: scaling.factor };
  return {
    type: "llama3",
    factor: scaling.factor,
    lowFrequencyFactor: scaling.low_freq_factor,
    highFrequencyFactor: scaling.high_freq_factor,
    originalContextLength: scaling.original_max_position_embeddings,
  };
};

/**
 * Angle per place for each pair of elements of a head, [E/2]: `theta^(-2i/E)`, then scaled
 * (Su et al. 2021; Llama 3.1: Hugging Face's `rope_type` "llama3").
 */
export const ropeInverseFrequencies = (
  headWidth: number,
  theta: number,
  scaling: RopeScaling = { type: "none" },
): Float64Array =>
  Float64Array.from({ length: headWidth / 2 }, (_, index) => {
    const frequency = theta ** ((-2 * index) / headWidth);
    if (scaling.type === "none") return frequency;
    if (scaling.type === "linear") return frequency / scaling.factor;
    const { factor, lowFrequencyFactor, highFrequencyFactor, originalContextLength } = scaling;
    const turns = (originalContextLength * frequency) / (2 * Math.PI);
    if (turns < lowFrequencyFactor) return frequency / factor;
    if (turns > highFrequencyFactor) return frequency;
    const kept = (turns - lowFrequencyFactor) / (highFrequencyFactor - lowFrequencyFactor);
    return (1 - kept) * (frequency / factor) + kept * frequency;
  });
