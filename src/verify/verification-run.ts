import { ModelConfigError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import type { VerifyContext } from "./recorded.js";

/** What the runs of recorded folders share: what was taken as input, and what was produced. */
export class VerificationRun {
  readonly tensors = new Map<string, TensorData>();
  readonly inputs = new Set<string>();
  readonly masks = new Map<string, readonly boolean[]>();

  constructor(protected readonly context: VerifyContext) {}

  protected has(name: string): boolean {
    return this.context.recorded.has(name);
  }

  /** A recorded input. Throws `ModelConfigError` where it is missing. */
  protected take(name: string): TensorData {
    const tensor = this.context.recorded.get(name);
    if (tensor === undefined) {
      throw new ModelConfigError(
        `verify: io.safetensors must hold ${name}, got none; record the folder again`,
      );
    }
    this.inputs.add(name);
    return tensor;
  }
}
