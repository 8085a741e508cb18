import type { DType, TensorData } from "../tensor-data.js";
import type { Initializer } from "./initializers.js";
import type { Operator } from "./operator.js";
import { type DimLike, dim, type Shape } from "./shape.js";

/** One application of an operator: the node of the graph. */
export type Operation = {
  readonly operator: Operator;
  readonly inputs: readonly Tensor[];
  readonly attributes: object;
  readonly outputs: readonly Tensor[];
};

/** Where a symbolic tensor's value comes from. */
export type TensorSource =
  | { readonly kind: "input"; readonly name: string }
  | { readonly kind: "parameter"; readonly name: string; readonly initializer: Initializer }
  | { readonly kind: "constant"; readonly value: TensorData }
  | { readonly kind: "operation"; readonly operation: Operation; readonly outputIndex: number };

/**
 * A symbolic tensor: what a model function computes with. It has a shape, an element type and a
 * source, and no elements; a graph is whatever can be reached from the tensors asked for.
 */
export class Tensor {
  constructor(
    readonly source: TensorSource,
    readonly dtype: DType,
    readonly shape: Shape,
  ) {}

  get rank(): number {
    return this.shape.length;
  }
}

/** A value fed at run time. Sides given as strings are named: `input("ids", "int64", ["B", "T"])`. */
export const input = (name: string, dtype: DType, shape: readonly DimLike[]): Tensor =>
  new Tensor({ kind: "input", name }, dtype, shape.map(dim));

/** A value fixed when the graph is built. */
export const constant = (value: TensorData): Tensor =>
  new Tensor({ kind: "constant", value }, value.dtype, value.shape);
