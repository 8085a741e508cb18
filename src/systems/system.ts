import { OptionsError } from "../errors.js";
import type { LlamaParams } from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { ParameterScope, type ParameterTree } from "../nn/parameter-scope.js";
import { unusedCompressorTensors } from "../reduce/early-compressor.js";
import type { RenameRule } from "../weights/rename.js";
import { avgLlavaNames, avgLlavaParams } from "./avg-llava.js";
import { type AvgLlavaVariant, parseAvgLlavaConfig } from "./avg-llava-config.js";
import { createAvgLlavaEncoder } from "./avg-llava-encoder.js";
import { createAvgLlavaRunPlanner } from "./avg-llava-runs.js";
import type { Encoder, EncoderContext } from "./encoder.js";
import { llavaNames, llavaParams } from "./llava.js";
import { type LlavaConfig, parseLlavaConfig } from "./llava-config.js";
import { createLlavaEncoder } from "./llava-encoder.js";
import { llavaMiniNames, llavaMiniParams } from "./llava-mini.js";
import { type LlavaMiniVariant, parseLlavaMiniConfig } from "./llava-mini-config.js";
import { createLlavaMiniEncoder } from "./llava-mini-encoder.js";
import { createLlavaMiniRunPlanner } from "./llava-mini-runs.js";
import { createLlavaRunPlanner } from "./llava-runs.js";
import { llavaUhdNames, llavaUhdParams } from "./llava-uhd.js";
import { isUhdModel, type LlavaUhdConfig, parseLlavaUhdConfig } from "./llava-uhd-config.js";
import { createLlavaUhdEncoder } from "./llava-uhd-encoder.js";
import { createLlavaUhdRunPlanner } from "./llava-uhd-runs.js";
import type { Billing, RunPlanner } from "./run-plan.js";

/** What the systems' configs say. */
export type SystemConfig = LlavaConfig | LlavaUhdConfig;

/** A system as its config describes it: parameters, their published names, and how it encodes. */
export type System = {
  readonly config: SystemConfig;
  readonly language: LlamaConfig;
  readonly params: ParameterTree & { readonly language: LlamaParams };
  readonly names: readonly RenameRule[];
  /** Largest number of images or videos in one conversation. */
  readonly maxMedia: number;
  /** Whether the encoder treats earlier answers of a conversation in their own way. */
  readonly readsAnswers: boolean;
  createEncoder(context: EncoderContext): Encoder;
  /** Says which graphs the encoder runs for a request, for estimating it; nothing is computed. */
  createRunPlanner(billing: Billing): RunPlanner;
};

export type SystemOptions = {
  /** LLaVA-Mini: which of the differences between paper and released code to follow. */
  readonly variant?: LlavaMiniVariant;
  /** AVG-LLaVA: the same; what the model's config names when absent. */
  readonly avgLlava?: AvgLlavaVariant;
};

/**
 * What checkpoints store that is no parameter of ours: buffers of older ones, and Qwen3.5's layers that guess
 * tokens ahead, which no answer depends on.
 */
export const ignoredTensors: readonly RegExp[] = [
  /^mtp\./,
  /\.rotary_emb\.inv_freq$/,
  /\.position_ids$/,
  unusedCompressorTensors,
];

const uhdSystem = (scope: ParameterScope, config: LlavaUhdConfig): System => {
  const params = llavaUhdParams(scope, config);
  return {
    config,
    language: config.language,
    params,
    names: llavaUhdNames(config),
    maxMedia: Number.POSITIVE_INFINITY,
    readsAnswers: false,
    createEncoder: (context) => createLlavaUhdEncoder(params, config, context),
    createRunPlanner: (billing) => createLlavaUhdRunPlanner(params, config, billing),
  };
};

/**
 * Reads a model's `config.json` and describes its system. `towerConfig` is the vision tower's own
 * config where there is one. Throws `UnknownArchitectureError` or `ModelConfigError`.
 */
export const parseSystem = (
  config: unknown,
  towerConfig?: unknown,
  { variant, avgLlava }: SystemOptions = {},
): System => {
  const scope = new ParameterScope();
  if (isUhdModel(config)) return uhdSystem(scope, parseLlavaUhdConfig(config));
  const llava = parseLlavaConfig(config, towerConfig);
  if (llava.system === "avg-llava") {
    const avg = parseAvgLlavaConfig(config, towerConfig, avgLlava);
    const params = avgLlavaParams(scope, avg);
    return {
      config: avg,
      language: avg.language,
      params,
      names: avgLlavaNames(avg),
      maxMedia: Number.POSITIVE_INFINITY,
      readsAnswers: avg.variant.earlierAnswers === "left-out",
      createEncoder: (context) => createAvgLlavaEncoder(params, avg, context),
      createRunPlanner: (billing) => createAvgLlavaRunPlanner(params, avg, billing),
    };
  }
  if (avgLlava !== undefined) {
    throw new OptionsError(
      `parseSystem: an AVG-LLaVA variant needs a model with granularities, got ${llava.system}; leave it out`,
    );
  }
  if (llava.system === "llava-mini") {
    const mini = parseLlavaMiniConfig(config, towerConfig, variant);
    const params = llavaMiniParams(scope, mini);
    return {
      config: mini,
      language: mini.language,
      params,
      names: llavaMiniNames(mini),
      maxMedia: 1,
      readsAnswers: mini.variant.earlierAnswers === "raw",
      createEncoder: (context) => createLlavaMiniEncoder(params, mini, context),
      createRunPlanner: (billing) => createLlavaMiniRunPlanner(params, mini, billing),
    };
  }
  const params = llavaParams(scope, llava);
  return {
    config: llava,
    language: llava.language,
    params,
    names: llavaNames(llava).filter(
      ([own]) => own !== "imageNewline" || params.imageNewline !== undefined,
    ),
    maxMedia: Number.POSITIVE_INFINITY,
    readsAnswers: false,
    createEncoder: (context) => createLlavaEncoder(params, llava, context),
    createRunPlanner: (billing) => createLlavaRunPlanner(params, llava, billing),
  };
};
