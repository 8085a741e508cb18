import { SessionClosedError, ShapeError } from "../errors.js";
import { type DType, elementCount, type TensorData } from "../tensor-data.js";
import type { Graph } from "./graph.js";
import type { ParameterSource } from "./onnx/lower-graph.js";
import { type DimBindings, evaluateDim, formatShape, namesInShape, type Shape } from "./shape.js";

/** Where graphs are computed. `wasm` and `webgpu` in browsers; `cpu`, `webgpu`, `cuda` in Node. */
export type Provider = "cpu" | "webgpu" | "cuda" | "wasm";

export const providers: readonly Provider[] = ["cpu", "webgpu", "cuda", "wasm"];

/**
 * Memory that stays in the engine between runs (key-value caches), or a part of it. It can be fed,
 * and outputs, or parts of them, can be written into it.
 */
export type Resident = {
  readonly residentId: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** First element of this part within the memory. */
  readonly elementOffset: number;
};

export type Feed = TensorData | Resident;

export const isResident = (feed: Feed): feed is Resident => "residentId" in feed;

export type RunOptions = {
  /** Outputs to bring back; all that are not kept in the engine when absent. */
  readonly fetch?: readonly string[];
  /** Outputs to write into memory that stays in the engine. */
  readonly into?: Readonly<Record<string, Resident>>;
  /** Outputs of which parts go into such memory; they are not brought back. */
  readonly place?: readonly Placement[];
};

/** Blocks of an output that go into memory which stays in the engine (new rows of a cache). */
export type Placement = {
  readonly output: string;
  /** Element of the output where the first block starts. */
  readonly fromElement: number;
  readonly to: Resident;
  /** Element of `to` where the first block goes. */
  readonly toElement: number;
  readonly layout: CopyLayout;
};

/** A graph made ready to run. */
export type Session = {
  readonly graph: Graph;
  /** Time it took to make ready, in milliseconds. */
  readonly openMs: number;
  /**
   * Computes outputs from feeds. Throws `ShapeError` naming the tensor, the expected and the
   * received shape, before anything runs.
   */
  run(
    feeds: Readonly<Record<string, Feed>>,
    options?: RunOptions,
  ): Promise<Record<string, TensorData>>;
  close(): Promise<void>;
};

/** Runs graphs with ONNX Runtime on one provider. Work is done in the order it was asked for. */
export type Engine = {
  readonly provider: Provider;
  readonly threads: number;
  open(graph: Graph, parameters: ParameterSource): Promise<Session>;
  /**
   * Largest number of queries for which fused attention computes rightly here: infinite on any
   * adapter that keeps WebGPU's usual subgroup sizes, small on some software adapters. Found by
   * computing; graphs are written accordingly.
   */
  maxFusedQueries(): Promise<number>;
  /** Zero-filled memory that stays in the engine. */
  allocate(dtype: DType, shape: readonly number[]): Promise<Resident>;
  /** Copies elements between two memories of the same type, as [blocks, length] with strides. */
  copy(from: Resident, to: Resident, layout: CopyLayout): Promise<void>;
  /** Puts elements into such memory; type and shape must be the memory's. */
  write(resident: Resident, value: TensorData): Promise<void>;
  /** Brings the elements of such memory back. */
  read(resident: Resident): Promise<TensorData>;
  release(resident: Resident): Promise<void>;
  close(): Promise<void>;
};

export type CopyLayout = {
  readonly numBlocks: number;
  readonly blockElements: number;
  readonly fromStride: number;
  readonly toStride: number;
};

/** Values of the named sides, read off the feeds; every disagreement is an error. */
export const bindFeeds = (graph: Graph, feeds: Readonly<Record<string, Feed>>): DimBindings => {
  const bindings: Record<string, number> = {};
  for (const name of Object.keys(feeds)) {
    if (!graph.inputs.has(name)) {
      throw new ShapeError(
        `run: "${graph.name}" has no input "${name}"; its inputs are ${[...graph.inputs.keys()].join(", ")}`,
      );
    }
  }
  for (const [name, tensor] of graph.inputs) {
    const feed = feeds[name];
    if (feed === undefined) {
      throw new ShapeError(
        `run: input "${name}" of "${graph.name}" is missing; feed ${tensor.dtype}${formatShape(tensor.shape)}`,
      );
    }
    if (feed.dtype !== tensor.dtype || feed.shape.length !== tensor.shape.length) {
      throw mismatch(`input "${name}" of "${graph.name}"`, tensor.dtype, tensor.shape, feed, {});
    }
    if (!isResident(feed) && feed.data.length !== elementCount(feed.shape)) {
      throw new ShapeError(
        `run: input "${name}" of "${graph.name}" must hold the ${elementCount(feed.shape)} elements of its shape ${formatShape(feed.shape)}, got ${feed.data.length}`,
      );
    }
    // Plain names first: they give the values that expressions are then checked against.
    tensor.shape.forEach((side, axis) => {
      const names = [...namesInShape([side])];
      if (names.length === 1 && String(side) === names[0]) bindings[names[0]] ??= feed.shape[axis];
    });
  }
  for (const [name, tensor] of graph.inputs) {
    checkValue(
      `input "${name}" of "${graph.name}"`,
      tensor.dtype,
      tensor.shape,
      feeds[name],
      bindings,
    );
  }
  return bindings;
};

/** Throws `ShapeError` unless `value` has the declared type and, under `bindings`, shape. */
export const checkValue = (
  what: string,
  dtype: DType,
  shape: Shape,
  value: { readonly dtype: DType; readonly shape: readonly number[] },
  bindings: DimBindings,
): void => {
  const fits =
    value.dtype === dtype &&
    value.shape.length === shape.length &&
    shape.every((side, axis) => evaluateDim(side, bindings) === value.shape[axis]);
  if (!fits) throw mismatch(what, dtype, shape, value, bindings);
};

const mismatch = (
  what: string,
  dtype: DType,
  shape: Shape,
  value: { readonly dtype: DType; readonly shape: readonly number[] },
  bindings: DimBindings,
): ShapeError => {
  const bound = [...namesInShape(shape)]
    .filter((side) => bindings[side] !== undefined)
    .map((side) => `${side} = ${bindings[side]}`)
    .join(", ");
  return new ShapeError(
    `run: ${what} must be ${dtype}${formatShape(shape)}${bound && ` with ${bound}`}, ` +
      `got ${value.dtype}${formatShape(value.shape)}`,
  );
};

/** Throws `ShapeError` unless every block lies within the output and within the memory. */
export const checkPlacement = (
  graph: Graph,
  { output, fromElement, to, toElement, layout }: Placement,
  bindings: DimBindings,
): void => {
  const tensor = graph.outputs.get(output);
  if (tensor === undefined || layout.numBlocks === 0) return;
  const last = layout.numBlocks - 1;
  const needed = fromElement + last * layout.fromStride + layout.blockElements;
  const room = toElement + last * layout.toStride + layout.blockElements;
  const given = elementCount(tensor.shape.map((side) => evaluateDim(side, bindings)));
  const fits = needed <= given && room <= elementCount(to.shape) && to.dtype === tensor.dtype;
  if (fits && fromElement >= 0 && toElement >= 0) return;
  throw new ShapeError(
    `run: blocks of output "${output}" must lie within its ${given} ${tensor.dtype} elements and within ` +
      `the memory's ${elementCount(to.shape)} ${to.dtype} ones, got ${fromElement}..${needed} and ${toElement}..${room}`,
  );
};

/** A part of resident memory: rows `start` to `end` of its first side. */
export const residentRows = (resident: Resident, start: number, end: number): Resident => {
  const rowElements = resident.shape.slice(1).reduce((count, side) => count * side, 1);
  return {
    ...resident,
    shape: [end - start, ...resident.shape.slice(1)],
    elementOffset: resident.elementOffset + start * rowElements,
  };
};

export const closedError = (what: string): SessionClosedError =>
  new SessionClosedError(`${what}: it is closed; open a new one`);
