import type { Tensor } from "../graph/index.js";

/**
 * Named intermediates of a model, collected while it is built. Asking costs nothing unless a tensor
 * is then made an output of the graph.
 */
export class Taps {
  private constructor(
    readonly tensors: Map<string, Tensor>,
    private readonly prefix: string,
  ) {}

  static create(): Taps {
    return new Taps(new Map(), "");
  }

  /** Records `tensor` under `name` and returns it. */
  add(name: string, tensor: Tensor): Tensor {
    this.tensors.set(this.prefix + name, tensor);
    return tensor;
  }

  /** The same collection, with `name.` before every name. */
  under(name: string): Taps {
    return new Taps(this.tensors, `${this.prefix}${name}.`);
  }
}
