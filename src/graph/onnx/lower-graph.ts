import { GraphError } from "../../errors.js";
import { type DType, elementCount, type TensorData } from "../../tensor-data.js";
import type { Graph } from "../graph.js";
import type { Lowering } from "../operator.js";
import type { DimExpression, Shape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import {
  type ExternalLocation,
  encodeOnnxModel,
  type OnnxInitializer,
  type OnnxNode,
  type OnnxValue,
  onnxDataType,
  rawBytes,
} from "./onnx-messages.js";

/** Where a parameter's bytes are and how they are stored; the graph computes in float32. */
export type StoredParameter = {
  readonly dtype: DType;
  readonly content: Uint8Array | ExternalLocation;
};

/** Finds a parameter's bytes by its internal name; `shape` is what the graph declares. */
export type ParameterSource = (name: string, shape: readonly number[]) => StoredParameter;

const isNumeric = (shape: Shape): shape is readonly number[] =>
  shape.every((side) => typeof side === "number");

export type LoweringOptions = {
  /** Longest row of queries to leave to fused attention kernels (`Engine.maxFusedQueries`). */
  readonly maxFusedQueries?: number;
  /** Whether to write products as `FusedMatMul`; true when absent. */
  readonly hasFusedMatMul?: boolean;
  /** Whether norms give their rows' statistics; true when absent. */
  readonly hasNormStatistics?: boolean;
};

/** Writes `graph` as the bytes of an ONNX model. */
export const lowerGraph = (
  graph: Graph,
  parameters: ParameterSource,
  {
    maxFusedQueries = Number.POSITIVE_INFINITY,
    hasFusedMatMul = true,
    hasNormStatistics = true,
  }: LoweringOptions = {},
): Uint8Array => {
  const nodes: OnnxNode[] = [];
  const initializers: OnnxInitializer[] = [];
  const names = new Map<Tensor, string>();
  const cached = new Map<string, string>();
  const storedParameters = new Map<string, { name: string; dtype: DType }>();
  let counter = 0;

  const newName = (what: string): string => {
    counter += 1;
    return `${what}.${counter}`;
  };

  const once = (key: string, make: () => string): string => {
    const known = cached.get(key);
    if (known !== undefined) return known;
    const made = make();
    cached.set(key, made);
    return made;
  };

  const addConstant = (value: TensorData): string => {
    // Formulas are full of the same few numbers.
    if (value.data.length === 1) {
      return once(`${value.dtype} [${value.shape}] ${value.data[0]}`, () => addInitializer(value));
    }
    return addInitializer(value);
  };

  const addInitializer = (value: TensorData): string => {
    const name = `constant.${initializers.length}`;
    initializers.push({ name, dtype: value.dtype, shape: value.shape, content: rawBytes(value) });
    return name;
  };

  const emit: Lowering["emit"] = (opType, inputs, options = {}) => {
    const outputs = options.outputs ?? [newName(opType)];
    nodes.push({
      opType,
      inputs,
      outputs,
      domain: options.domain ?? "",
      attributes: options.attributes ?? {},
    });
    return outputs[0];
  };

  const ints = (values: readonly number[]): string =>
    once(`ints ${values.join(" ")}`, () =>
      addConstant({
        dtype: "int64",
        shape: [values.length],
        data: BigInt64Array.from(values, BigInt),
      }),
    );

  const int = (value: number): string =>
    once(`int ${value}`, () =>
      addConstant({ dtype: "int64", shape: [], data: BigInt64Array.of(BigInt(value)) }),
    );

  const scalar = (value: number): string =>
    once(`scalar ${value}`, () =>
      addConstant({ dtype: "float32", shape: [], data: Float32Array.of(value) }),
    );

  /** A named side at run time, as int64[1]: read off the first graph input that has it. */
  const namedSide = (name: string): string =>
    once(`side ${name}`, () => {
      for (const [inputName, tensor] of graph.inputs) {
        const axis = tensor.shape.findIndex((side) => String(side) === name);
        if (axis >= 0) {
          return emit("Shape", [inputName], {
            attributes: { start: { int: axis }, end: { int: axis + 1 } },
          });
        }
      }
      throw new GraphError(`lowerGraph: no input of "${graph.name}" has a side named ${name}`);
    });

  const side = (value: DimExpression): string =>
    once(`expression ${value}`, () => {
      const terms = [...value.terms].map(([product, coefficient]) => {
        const factors = product.split("*").filter(Boolean).map(namedSide);
        if (factors.length === 0) return ints([coefficient]);
        const multiplied = factors.reduce((left, right) => emit("Mul", [left, right]));
        return coefficient === 1 ? multiplied : emit("Mul", [multiplied, ints([coefficient])]);
      });
      return terms.reduce((left, right) => emit("Add", [left, right]));
    });

  const sides = (shape: Shape): string => {
    if (isNumeric(shape)) return ints(shape);
    return once(`sides ${shape.join(", ")}`, () =>
      emit(
        "Concat",
        shape.map((value) => (typeof value === "number" ? ints([value]) : side(value))),
        { attributes: { axis: { int: 0 } } },
      ),
    );
  };

  const stored: Lowering["stored"] = (tensor) => {
    if (tensor.source.kind !== "parameter") return { name: nameOf(tensor), dtype: tensor.dtype };
    const { name } = tensor.source;
    const known = storedParameters.get(name);
    if (known !== undefined) return known;
    const { shape } = tensor;
    if (!isNumeric(shape)) {
      throw new GraphError(`lowerGraph: parameter "${name}" must have a numeric shape`);
    }
    const { dtype, content } = parameters(name, shape);
    const add = (): string => {
      initializers.push({ name, dtype, shape, content });
      return name;
    };
    // ONNX Runtime maps every initializer by itself: parameters at one place of a file are one.
    const place =
      content instanceof Uint8Array
        ? undefined
        : `${content.location} ${content.byteOffset} ${content.byteLength} ${dtype} [${shape}]`;
    const held = { name: place === undefined ? add() : once(place, add), dtype };
    storedParameters.set(name, held);
    return held;
  };

  const nameOf = (tensor: Tensor): string => {
    const { source } = tensor;
    switch (source.kind) {
      case "input":
        return source.name;
      case "constant":
        return valueName(tensor, () => addConstant(source.value));
      case "parameter":
        return once(`widened ${source.name}`, () => {
          const { name, dtype } = stored(tensor);
          if (dtype === tensor.dtype) return name;
          return emit("Cast", [name], {
            attributes: { to: { int: onnxDataType[tensor.dtype] } },
            outputs: [`${source.name}.widened`],
          });
        });
      case "operation":
        return valueName(tensor, () => newName(source.operation.operator.name));
    }
  };

  const valueName = (tensor: Tensor, make: () => string): string => {
    const known = names.get(tensor);
    if (known !== undefined) return known;
    const made = make();
    names.set(tensor, made);
    return made;
  };

  // An output's value carries the name asked for. Only where that is impossible (a value asked for
  // twice, an input, a parameter) a copy is written.
  const copies: [string, Tensor][] = [];
  for (const [name, tensor] of graph.outputs) {
    if (tensor.source.kind === "operation" && !names.has(tensor)) names.set(tensor, name);
    else copies.push([name, tensor]);
  }

  const used = new Set<Tensor>(graph.outputs.values());
  for (const { inputs } of graph.operations) for (const tensor of inputs) used.add(tensor);
  const unread: [string, Tensor][] = [];
  for (const { operator, outputs } of graph.operations) {
    if (operator.needsAllOutputs !== true) continue;
    for (const tensor of outputs.filter((output) => !used.has(output))) {
      used.add(tensor);
      unread.push([nameOf(tensor), tensor]);
    }
  }

  const lowering: Lowering = {
    emit,
    ints,
    int,
    scalar,
    sides,
    stored,
    name: nameOf,
    maxFusedQueries,
    hasFusedMatMul,
    hasNormStatistics,
  };
  for (const operation of graph.operations) {
    const { operator } = operation;
    // Statistics that nobody reads are left to the kernel's discretion: an empty name.
    const outputs = operation.outputs.map((tensor, index) =>
      index === 0 || used.has(tensor) ? nameOf(tensor) : "",
    );
    operator.lower(lowering, outputs, operation);
  }
  for (const [name, tensor] of copies) emit("Identity", [nameOf(tensor)], { outputs: [name] });

  const describe = ([name, { dtype, shape }]: [string, Tensor]): OnnxValue => ({
    name,
    dtype,
    shape,
  });
  return encodeOnnxModel({
    graphName: graph.name,
    nodes,
    initializers,
    inputs: [...graph.inputs].map(describe),
    outputs: [...graph.outputs, ...unread].map(describe),
  });
};

/** In-memory parameters, as a source for `lowerGraph`. */
export const inMemoryParameters =
  (tensors: ReadonlyMap<string, TensorData>): ParameterSource =>
  (name, shape) => {
    const tensor = tensors.get(name);
    if (tensor === undefined) {
      throw new GraphError(`inMemoryParameters: no value for parameter "${name}"; pass one`);
    }
    if (elementCount(tensor.shape) !== elementCount(shape)) {
      throw new GraphError(
        `inMemoryParameters: "${name}" must have shape [${shape}], got [${tensor.shape}]`,
      );
    }
    return { dtype: tensor.dtype, content: rawBytes(tensor) };
  };
