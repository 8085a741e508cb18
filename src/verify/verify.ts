/** Checks that a model reproduces recorded inputs and outputs, tensor by tensor. */
import { ModelConfigError, UnknownArchitectureError } from "../errors.js";
import { produceAvgLlava } from "./avg-llava.js";
import { produceClip } from "./clip.js";
import { compareTensors, type TensorVerdict } from "./comparison.js";
import { produceLlama } from "./llama.js";
import { produceLlava } from "./llava.js";
import { produceLlavaMini } from "./llava-mini.js";
import { produceLlavaUhd } from "./llava-uhd.js";
import { defaultTolerance, type Produced, type Recorded, type VerifyContext } from "./recorded.js";

export type VerifyResult = { readonly ok: boolean; readonly tensors: readonly TensorVerdict[] };

/** What runs a recorded folder, by the architecture in its config. */
const producers: Readonly<Record<string, (context: VerifyContext) => Promise<Produced>>> = {
  CLIPVisionModel: produceClip,
  LlamaForCausalLM: produceLlama,
  Qwen2ForCausalLM: produceLlama,
  Qwen3ForCausalLM: produceLlama,
  Qwen3_5ForCausalLM: produceLlama,
  LlavaLlamaForCausalLM: produceLlava,
  LlavaForConditionalGeneration: produceLlava,
  LlavaNextForConditionalGeneration: produceLlava,
  LlavaMiniLlamaForCausalLM: produceLlavaMini,
};

/** The same for folders whose config names no architecture, by `model_type`. */
const producersByType: typeof producers = { llava_uhd_v4: produceLlavaUhd };

/** Checkpoints of AVG-LLaVA name LLaVA's architecture; their granularities give them away. */
const choosesGranularity = (config: unknown): boolean =>
  Array.isArray((config as { vis_token_granularity?: unknown } | null)?.vis_token_granularity);

const producerOf = (config: unknown, architecture: string): typeof produceLlava | undefined => {
  if (choosesGranularity(config)) return produceAvgLlava;
  const { model_type: modelType } = (config ?? {}) as { model_type?: unknown };
  return producers[architecture] ?? producersByType[String(modelType)];
};

/** Compares every recorded tensor but the inputs; what was not produced fails. */
export const compareRecorded = (
  recorded: Recorded,
  produced: Produced,
  tolerance = defaultTolerance,
): VerifyResult => {
  const tensors: TensorVerdict[] = [];
  for (const [name, tensor] of [...recorded, ...(produced.further ?? [])]) {
    if (produced.inputs.has(name)) continue;
    tensors.push(
      compareTensors(
        name,
        tensor,
        produced.tensors.get(name),
        produced.tolerances?.get(name) ?? tolerance,
        produced.masks?.get(name),
        produced.scales?.get(name),
      ),
    );
  }
  if (tensors.length === 0) {
    throw new ModelConfigError(
      "compareRecorded: io.safetensors must hold outputs to compare with, got inputs only",
    );
  }
  return { ok: tensors.every((verdict) => verdict.ok), tensors };
};

/** Runs the recorded inputs of a model and compares. Throws `UnknownArchitectureError`. */
export const verifyModel = async (
  context: VerifyContext,
  tolerance?: number,
): Promise<VerifyResult> => {
  const { architectures } = (context.config ?? {}) as { architectures?: unknown };
  const architecture = Array.isArray(architectures) ? String(architectures[0]) : "";
  const produce = producerOf(context.config, architecture);
  if (produce === undefined) {
    throw new UnknownArchitectureError(
      `verifyModel: architectures[0] must be one of ${Object.keys(producers).join(", ")}, got ${JSON.stringify(architecture)}`,
    );
  }
  return compareRecorded(context.recorded, await produce(context), tolerance);
};
