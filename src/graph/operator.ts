import type { DType } from "../tensor-data.js";
import type * as operators from "./operators/index.js";
import type { Dim, Shape } from "./shape.js";
import { type Operation, Tensor } from "./tensor.js";

/** What an operation costs, as expressions over the named sides. */
export type Cost = {
  /** Multiply-adds of products with a parameter (a linear layer, a patch embedding). */
  readonly linear?: Dim;
  /** Multiply-adds of products between activations (attention scores and values). */
  readonly attention?: Dim;
  /** Single operations on elements: norms, activations, soft-max, sums. */
  readonly elementwise?: Dim;
};

/** The ONNX attribute values that our operators use. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }
  | { readonly body: OnnxBody };

/** One node of a loop's body; attributes are single numbers. */
export type OnnxBodyNode = {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes?: Readonly<Record<string, { readonly int: number }>>;
};

/**
 * What a loop computes each time. Its values are known by names that no other value of the model has;
 * all are float32, of whatever shape follows.
 */
export type OnnxBody = {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly OnnxBodyNode[];
};

/** What a lowering writes with; values are known by their ONNX names. */
export type Lowering = {
  /** Adds one ONNX node and returns the names of its outputs (new ones, unless they are given). */
  emit(
    opType: string,
    inputs: readonly string[],
    options?: {
      readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
      /** `"com.microsoft"` for ONNX Runtime's own operators. */
      readonly domain?: string;
      readonly outputs?: readonly string[];
    },
  ): string;
  /** The name of a tensor's value, in the type the graph computes with. */
  name(tensor: Tensor): string;
  /** A one-dimensional int64 constant. */
  ints(values: readonly number[]): string;
  /** An int64 scalar constant. */
  int(value: number): string;
  /** Largest number of queries for which the engine's fused attention is right; infinite as a rule. */
  readonly maxFusedQueries: number;
  /** Whether the engine computes ONNX Runtime's `FusedMatMul` itself, as its WebGPU one does not. */
  readonly hasFusedMatMul: boolean;
  /** Whether the engine's norms give their rows' statistics, which its WebGPU ones leave unwritten. */
  readonly hasNormStatistics: boolean;
  /** A float32 scalar constant. */
  scalar(value: number): string;
  /** A one-dimensional int64 value with the sides of `shape`, computed at run time where named. */
  sides(shape: Shape): string;
  /** A parameter as it is stored, before widening to float32, and the type it is stored in. */
  stored(tensor: Tensor): { readonly name: string; readonly dtype: DType };
};

/** Everything a gradient may be built from. Handed in, so that operators do not import each other. */
export type GradientTools = typeof operators;

/**
 * Gradients of an operation's inputs, given those of its outputs; undefined where none flows.
 * Integer and boolean inputs have none.
 */
export type GradientRule<Attributes extends object = object> = (
  operation: Operation & { readonly attributes: Attributes },
  outputGradients: readonly (Tensor | undefined)[],
  tools: GradientTools,
) => readonly (Tensor | undefined)[];

/**
 * An operator: its one definition. Shape rule, ONNX lowering, gradient and cost stand together, and
 * inference, training, cost reports and export all read this same entry.
 */
export type Operator<Attributes extends object = object> = {
  readonly name: string;
  /** Types and shapes of the outputs. Throws `ShapeError` for inputs that do not fit. */
  shape(
    inputs: readonly Tensor[],
    attributes: Attributes,
  ): readonly { readonly dtype: DType; readonly shape: Shape }[];
  /** Writes ONNX nodes that compute the values named `outputs`. */
  lower(
    lowering: Lowering,
    outputs: readonly string[],
    operation: Operation & { readonly attributes: Attributes },
  ): void;
  readonly gradient?: GradientRule<Attributes>;
  /**
   * Whether the kernel computes something else where one of its outputs is not wanted. They are all
   * made outputs of the model then, which costs nothing while nobody fetches them.
   */
  readonly needsAllOutputs?: boolean;
  cost(operation: Operation & { readonly attributes: Attributes }): Cost;
};

/** Applies `operator`: checks the inputs by its shape rule and returns its output tensors. */
export const apply = <Attributes extends object>(
  operator: Operator<Attributes>,
  inputs: readonly Tensor[],
  attributes: Attributes,
): Tensor[] => {
  const outputs: Tensor[] = [];
  // The operator's own attribute type is known here only; a node carries it as a plain object.
  const operation: Operation = { operator: operator as Operator, inputs, attributes, outputs };
  operator.shape(inputs, attributes).forEach(({ dtype, shape }, outputIndex) => {
    outputs.push(new Tensor({ kind: "operation", operation, outputIndex }, dtype, shape));
  });
  return outputs;
};
