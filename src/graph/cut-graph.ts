/** Cuts a graph where its operations change hands, so that each piece can be run by itself. */
import type { TensorData } from "../tensor-data.js";
import { createGraph, type Graph } from "./graph.js";
import { apply } from "./operator.js";
import { type DimBindings, namesInShape } from "./shape.js";
import { input, type Operation, type Tensor } from "./tensor.js";

/**
 * A piece of a graph. Its inputs are inputs of the whole, outputs of earlier pieces (`cut.N`, or the
 * name that the whole gives them), and anchors: rows of `side.X` elements that only say what X is.
 */
export type GraphStage<Label extends string> = { readonly label: Label; readonly graph: Graph };

const anchorPrefix = "side.";

/** The values that a piece needs besides those of others: its anchors. */
export const anchorFeeds = (graph: Graph, bindings: DimBindings): Record<string, TensorData> => {
  const feeds: Record<string, TensorData> = {};
  for (const name of graph.inputs.keys()) {
    if (!name.startsWith(anchorPrefix)) continue;
    const length = bindings[name.slice(anchorPrefix.length)];
    feeds[name] = { dtype: "bool", shape: [length], data: new Uint8Array(length) };
  }
  return feeds;
};

/** Names of sides that a run can read straight off an input's shape. */
const plainNames = (tensors: Iterable<Tensor>): Set<string> => {
  const plain = new Set<string>();
  for (const { shape } of tensors) {
    for (const side of shape) {
      const [name, ...others] = namesInShape([side]);
      if (others.length === 0 && String(side) === name) plain.add(name);
    }
  }
  return plain;
};

const withAnchors = (graph: Graph, names: ReadonlySet<string>): Graph => {
  const known = plainNames(graph.inputs.values());
  const missing = [...names].filter((name) => !known.has(name));
  if (missing.length === 0) return graph;
  const anchors = missing.map(
    (name) => [anchorPrefix + name, input(anchorPrefix + name, "bool", [name])] as const,
  );
  return { ...graph, inputs: new Map([...graph.inputs, ...anchors]) };
};

/** Whether an operation multiplies matrices: what a piece is worth being timed for. */
const multiplies = (operation: Operation): boolean => {
  const { linear = 0, attention = 0 } = operation.operator.cost(operation);
  return linear !== 0 || attention !== 0;
};

/** Operations that depend on what is fed; all others are computed when a session is opened. */
const findFed = (graph: Graph): Set<Operation> => {
  const fed = new Set<Operation>();
  for (const operation of graph.operations) {
    const isFed = operation.inputs.some(
      ({ source }) =>
        source.kind === "input" || (source.kind === "operation" && fed.has(source.operation)),
    );
    if (isFed) fed.add(operation);
  }
  return fed;
};

/**
 * The number of each fed operation's piece, and the pieces' labels: the first piece of its label that
 * does not come before anything it reads. Pieces without any product join the next one.
 */
const assignStages = <Label extends string>(
  fed: ReadonlySet<Operation>,
  labelOf: (operation: Operation) => Label,
): { readonly stageOf: Map<Operation, number>; readonly labels: readonly Label[] } => {
  const first = new Map<Operation, number>();
  const labels: Label[] = [];
  const heavy = new Set<number>();
  for (const operation of fed) {
    const earliest = operation.inputs.reduce((latest, { source }) => {
      const stage = source.kind === "operation" ? first.get(source.operation) : undefined;
      return Math.max(latest, stage ?? 0);
    }, 0);
    const label = labelOf(operation);
    let stage = labels.indexOf(label, earliest);
    if (stage < 0) stage = labels.push(label) - 1;
    first.set(operation, stage);
    if (multiplies(operation)) heavy.add(stage);
  }
  const kept = [...heavy].sort((a, b) => a - b);
  const joined = (stage: number): number => {
    const next = kept.findIndex((one) => one >= stage);
    return next < 0 ? Math.max(0, kept.length - 1) : next;
  };
  // Where a piece without products stood between two of one label, these are one.
  const merged: Label[] = [];
  const place = kept.map((stage) => {
    if (merged.at(-1) !== labels[stage]) merged.push(labels[stage]);
    return merged.length - 1;
  });
  const stageOf = new Map(
    [...first].map(([operation, stage]) => [operation, place[joined(stage)] ?? 0]),
  );
  return { stageOf, labels: merged };
};

/**
 * Cuts `graph` into pieces that, run one after the other, compute what it does: neighbouring
 * operations of one label are one piece. What depends on parameters alone is in every piece that uses
 * it. A graph without products, or of one label, stays whole; `wholeLabel` is the label of the former.
 */
export const cutGraph = <Label extends string>(
  graph: Graph,
  labelOf: (operation: Operation) => Label,
  wholeLabel: Label,
): readonly GraphStage<Label>[] => {
  const fed = findFed(graph);
  const { stageOf, labels } = assignStages(fed, labelOf);
  if (labels.length < 2) return [{ label: labels[0] ?? wholeLabel, graph }];

  const producer = ({ source }: Tensor): number | undefined =>
    source.kind === "operation" ? stageOf.get(source.operation) : undefined;
  const outputNames = new Map([...graph.outputs].map(([name, tensor]) => [tensor, name]));
  const names = new Map<Tensor, string>();
  for (const [operation, stage] of stageOf) {
    for (const tensor of operation.inputs) {
      const from = producer(tensor);
      if (from === undefined || from === stage || names.has(tensor)) continue;
      names.set(tensor, outputNames.get(tensor) ?? `cut.${names.size}`);
    }
  }
  const sides = plainNames(graph.inputs.values());
  return labels.map((label, stage) => {
    const copies = new Map<Tensor, Tensor>();
    const here = (tensor: Tensor): Tensor => {
      const from = producer(tensor);
      if (from === undefined) return tensor;
      const known = copies.get(tensor);
      if (known !== undefined) return known;
      const given = input(names.get(tensor) ?? "", tensor.dtype, tensor.shape);
      copies.set(tensor, given);
      return given;
    };
    const outputs: Record<string, Tensor> = {};
    for (const operation of graph.operations) {
      if (stageOf.get(operation) !== stage) continue;
      const made = apply(operation.operator, operation.inputs.map(here), operation.attributes);
      operation.outputs.forEach((tensor, index) => {
        copies.set(tensor, made[index]);
        const name = names.get(tensor);
        if (name !== undefined) outputs[name] = made[index];
      });
    }
    for (const [name, tensor] of graph.outputs) {
      // What nothing of a piece computes, the last one gives.
      if ((producer(tensor) ?? labels.length - 1) === stage) outputs[name] = here(tensor);
    }
    const piece = createGraph(`${graph.name}/${stage}.${label}`, outputs);
    return { label, graph: withAnchors(piece, sides) };
  });
};
