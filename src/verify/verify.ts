/** Checks that a model reproduces recorded inputs and outputs, tensor by tensor. */
import { ModelConfigError, UnknownArchitectureError } from "../errors.js";
import { produceClip } from "./clip.js";
import { compareTensors, type TensorVerdict } from "./comparison.js";
import { produceLlama } from "./llama.js";
import { produceLlava } from "./llava.js";
import { produceLlavaMini } from "./llava-mini.js";
import type { Produced, Recorded, VerifyContext } from "./recorded.js";

export type VerifyResult = { readonly ok: boolean; readonly tensors: readonly TensorVerdict[] };

/** Largest accepted difference, relative to a tensor's largest value. */
export const defaultTolerance = 1e-4;

/** What runs a recorded folder, by the architecture in its config. */
const producers: Readonly<Record<string, (context: VerifyContext) => Promise<Produced>>> = {
  CLIPVisionModel: produceClip,
  LlamaForCausalLM: produceLlama,
  LlavaLlamaForCausalLM: produceLlava,
  LlavaForConditionalGeneration: produceLlava,
  LlavaNextForConditionalGeneration: produceLlava,
  LlavaMiniLlamaForCausalLM: produceLlavaMini,
};

/** Compares every recorded tensor but the inputs; what was not produced fails. */
export const compareRecorded = (
  recorded: Recorded,
  produced: Produced,
  tolerance = defaultTolerance,
): VerifyResult => {
  const tensors: TensorVerdict[] = [];
  for (const [name, tensor] of recorded) {
    if (produced.inputs.has(name)) continue;
    tensors.push(
      compareTensors(
        name,
        tensor,
        produced.tensors.get(name),
        produced.tolerances?.get(name) ?? tolerance,
        produced.masks?.get(name),
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
  const produce = producers[architecture];
  if (produce === undefined) {
    throw new UnknownArchitectureError(
      `verifyModel: architectures[0] must be one of ${Object.keys(producers).join(", ")}, got ${JSON.stringify(architecture)}`,
    );
  }
  return compareRecorded(context.recorded, await produce(context), tolerance);
};
