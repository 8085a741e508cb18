import { ShapeError } from "../../errors.js";
import { onnxDataType } from "../onnx/onnx-messages.js";
import { apply, type Operator } from "../operator.js";
import {
  addDims,
  broadcastShapes,
  type Dim,
  type DimLike,
  dim,
  divideDims,
  formatShape,
  productOfDims,
  resolveAxis,
  type Shape,
  sameDim,
  sameShape,
  subtractDims,
} from "../shape.js";
import type { Tensor } from "../tensor.js";

const free = (): Record<string, never> => ({});

/** A side of 0 is meant as such; ONNX would take it for "as before". */
export const keepZeroSides = { allowzero: { int: 1 } } as const;

const reshapeOperator: Operator<{ readonly shape: Shape }> = {
  name: "reshape",
  shape: ([x], { shape }) => {
    if (!sameDim(productOfDims(x.shape), productOfDims(shape))) {
      throw new ShapeError(
        `reshape: element counts must agree, got ${formatShape(x.shape)} to ${formatShape(shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape }];
  },
  lower: (lowering, outputs, { inputs: [x], attributes: { shape } }) => {
    // One named side can be left to ONNX, which spares computing it; not beside a side of 0.
    const named = shape.filter((side) => typeof side !== "number");
    const isOpen = named.length === 1 && !shape.includes(0);
    const target = isOpen ? shape.map((side) => (typeof side === "number" ? side : -1)) : shape;
    lowering.emit("Reshape", [lowering.name(x), lowering.sides(target)], {
      outputs,
      ...(!isOpen && { attributes: keepZeroSides }),
    });
  },
  gradient: ({ inputs: [x] }, [g], { reshape }) => (g === undefined ? [] : [reshape(g, x.shape)]),
  cost: free,
};

/**
 * The same elements under another shape. One side may be -1: whatever is left over, which must be
 * exact for every value of the named sides.
 */
export const reshape = (x: Tensor, shape: readonly DimLike[]): Tensor => {
  const wanted = shape.map(dim);
  const open = wanted.indexOf(-1);
  if (open >= 0) {
    const others = productOfDims(wanted.filter((_, axis) => axis !== open));
    const rest = divideDims(productOfDims(x.shape), others);
    if (rest === undefined) {
      throw new ShapeError(
        `reshape: ${formatShape(x.shape)} does not divide into ${formatShape(wanted)}; give the side as an expression`,
      );
    }
    wanted[open] = rest;
  }
  return sameShape(x.shape, wanted) ? x : apply(reshapeOperator, [x], { shape: wanted })[0];
};

const transposeOperator: Operator<{ readonly permutation: readonly number[] }> = {
  name: "transpose",
  shape: ([x], { permutation }) => {
    const sorted = [...permutation].sort((a, b) => a - b);
    if (sorted.length !== x.rank || sorted.some((axis, index) => axis !== index)) {
      throw new ShapeError(
        `transpose: needs a permutation of ${x.rank} axes, got [${permutation}]`,
      );
    }
    return [{ dtype: x.dtype, shape: permutation.map((axis) => x.shape[axis]) }];
  },
  lower: (lowering, outputs, { inputs: [x], attributes: { permutation } }) => {
    lowering.emit("Transpose", [lowering.name(x)], {
      outputs,
      attributes: { perm: { ints: permutation } },
    });
  },
  gradient: ({ attributes: { permutation } }, [g], { transpose }) =>
    g === undefined
      ? []
      : [
          transpose(
            g,
            permutation.map((_, axis) => permutation.indexOf(axis)),
          ),
        ],
  cost: free,
};

/** Axes in another order: side i of the result is side `permutation[i]` of `x`. */
export const transpose = (x: Tensor, permutation: readonly number[]): Tensor =>
  apply(transposeOperator, [x], { permutation })[0];

const concatOperator: Operator<{ readonly axis: number }> = {
  name: "concat",
  shape: (inputs, { axis }) => {
    const [first, ...rest] = inputs;
    for (const other of rest) {
      const fits =
        other.dtype === first.dtype &&
        other.rank === first.rank &&
        other.shape.every((side, index) => index === axis || sameDim(side, first.shape[index]));
      if (!fits) {
        throw new ShapeError(
          `concat: all sides but axis ${axis} must agree, got ${first.dtype}${formatShape(first.shape)} and ${other.dtype}${formatShape(other.shape)}`,
        );
      }
    }
    const joined = addDims(...inputs.map((tensor) => tensor.shape[axis]));
    return [
      {
        dtype: first.dtype,
        shape: first.shape.map((side, index) => (index === axis ? joined : side)),
      },
    ];
  },
  lower: (lowering, outputs, { inputs, attributes: { axis } }) => {
    lowering.emit("Concat", inputs.map(lowering.name), {
      outputs,
      attributes: { axis: { int: axis } },
    });
  },
  gradient: ({ inputs, attributes: { axis } }, [g], { slice }) => {
    if (g === undefined) return [];
    let start: Dim = 0;
    return inputs.map((tensor) => {
      const end = addDims(start, tensor.shape[axis]);
      const part = slice(g, axis, start, end);
      start = end;
      return part;
    });
  },
  cost: free,
};

/** Tensors joined along `axis`, in order. */
export const concat = (tensors: readonly Tensor[], axis: number): Tensor => {
  const [first] = tensors;
  if (first === undefined) throw new ShapeError("concat: needs at least one tensor, got none");
  if (tensors.length === 1) return first;
  return apply(concatOperator, tensors, { axis: resolveAxis("concat", axis, first.rank) })[0];
};

type SliceAttributes = { readonly axis: number; readonly start: Dim; readonly end: Dim };

const sliceOperator: Operator<SliceAttributes> = {
  name: "slice",
  shape: ([x], { axis, start, end }) => {
    const size = subtractDims(end, start);
    const limit = x.shape[axis];
    const isBeyond = typeof end === "number" && typeof limit === "number" && end > limit;
    const isNegative = [start, size].some((side) => typeof side === "number" && side < 0);
    if (isBeyond || isNegative) {
      throw new ShapeError(
        `slice: ${start}..${end} must lie within side ${axis} of ${formatShape(x.shape)}`,
      );
    }
    return [
      { dtype: x.dtype, shape: x.shape.map((side, index) => (index === axis ? size : side)) },
    ];
  },
  lower: (lowering, outputs, { inputs: [x], attributes: { axis, start, end } }) => {
    lowering.emit(
      "Slice",
      [lowering.name(x), lowering.sides([start]), lowering.sides([end]), lowering.ints([axis])],
      { outputs },
    );
  },
  gradient: ({ inputs: [x], attributes: { axis, start, end } }, [g], { padAxis }) =>
    g === undefined ? [] : [padAxis(g, axis, start, subtractDims(x.shape[axis], end))],
  cost: free,
};

/** Elements `start` (inclusive) to `end` (exclusive) of one axis. */
export const slice = (x: Tensor, axis: number, start: DimLike, end: DimLike): Tensor =>
  apply(sliceOperator, [x], {
    axis: resolveAxis("slice", axis, x.rank),
    start: dim(start),
    end: dim(end),
  })[0];

type PadAttributes = { readonly axis: number; readonly before: Dim; readonly after: Dim };

const padOperator: Operator<PadAttributes> = {
  name: "pad-axis",
  shape: ([x], { axis, before, after }) => [
    {
      dtype: x.dtype,
      shape: x.shape.map((side, index) => (index === axis ? addDims(before, side, after) : side)),
    },
  ],
  lower: (lowering, outputs, { inputs: [x], attributes: { axis, before, after } }) => {
    const pads = x.shape.map((_, index) => (index === axis ? before : 0));
    const ends = x.shape.map((_, index) => (index === axis ? after : 0));
    lowering.emit("Pad", [lowering.name(x), lowering.sides([...pads, ...ends])], { outputs });
  },
  gradient: ({ inputs: [x], attributes: { axis, before } }, [g], { slice }) =>
    g === undefined ? [] : [slice(g, axis, before, addDims(before, x.shape[axis]))],
  cost: free,
};

/** Zeros put before and after the elements of one axis. */
export const padAxis = (x: Tensor, axis: number, before: DimLike, after: DimLike): Tensor =>
  apply(padOperator, [x], {
    axis: resolveAxis("padAxis", axis, x.rank),
    before: dim(before),
    after: dim(after),
  })[0];

const broadcastOperator: Operator<{ readonly shape: Shape }> = {
  name: "broadcast",
  shape: ([x], { shape }) => {
    if (!sameShape(broadcastShapes("broadcast", x.shape, shape), shape)) {
      throw new ShapeError(
        `broadcast: ${formatShape(x.shape)} does not spread over ${formatShape(shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape }];
  },
  lower: (lowering, outputs, { inputs: [x], attributes: { shape } }) => {
    lowering.emit("Expand", [lowering.name(x), lowering.sides(shape)], { outputs });
  },
  gradient: ({ inputs: [x] }, [g], { sumToShape }) =>
    g === undefined ? [] : [sumToShape(g, x.shape)],
  cost: free,
};

/** `x` repeated along its sides of 1 (and new leading ones) to fill `shape`. */
export const broadcast = (x: Tensor, shape: readonly DimLike[]): Tensor => {
  const wanted = shape.map(dim);
  return sameShape(x.shape, wanted) ? x : apply(broadcastOperator, [x], { shape: wanted })[0];
};

const gatherRowsOperator: Operator = {
  name: "gather-rows",
  shape: ([table, indices]) => {
    if (table.rank !== 2 || indices.dtype !== "int64") {
      throw new ShapeError(
        `gatherRows: needs a table [rows, D] and int64 indices, got ${formatShape(table.shape)} and ${indices.dtype}`,
      );
    }
    return [{ dtype: table.dtype, shape: [...indices.shape, table.shape[1]] }];
  },
  // A half-precision table is widened after the look-up: rows, not the table.
  lower: (lowering, outputs, { inputs: [table, indices] }) => {
    const { name, dtype } = lowering.stored(table);
    if (dtype === table.dtype) {
      lowering.emit("Gather", [name, lowering.name(indices)], { outputs });
      return;
    }
    const rows = lowering.emit("Gather", [name, lowering.name(indices)]);
    lowering.emit("Cast", [rows], {
      outputs,
      attributes: { to: { int: onnxDataType[table.dtype] } },
    });
  },
  gradient: ({ inputs: [table, indices] }, [g], { scatterRows }) =>
    g === undefined ? [] : [scatterRows(g, indices, table.shape[0])],
  cost: free,
};

/** Rows of a table by index: table [rows, D], indices [...] (int64) → [..., D]. */
export const gatherRows = (table: Tensor, indices: Tensor): Tensor =>
  apply(gatherRowsOperator, [table, indices], {})[0];

const scatterRowsOperator: Operator<{ readonly numRows: Dim }> = {
  name: "scatter-rows",
  shape: ([rows], { numRows }) => [
    { dtype: rows.dtype, shape: [numRows, rows.shape[rows.rank - 1]] },
  ],
  lower: (lowering, outputs, { inputs: [rows, indices], outputs: [result] }) => {
    const zeros = lowering.emit("Expand", [lowering.scalar(0), lowering.sides(result.shape)]);
    const places = lowering.emit("Unsqueeze", [lowering.name(indices), lowering.ints([-1])]);
    lowering.emit("ScatterND", [zeros, places, lowering.name(rows)], {
      outputs,
      attributes: { reduction: { string: "add" } },
    });
  },
  gradient: ({ inputs: [, indices] }, [g], { gatherRows }) =>
    g === undefined ? [] : [gatherRows(g, indices)],
  cost: ({ inputs: [rows] }) => ({ elementwise: productOfDims(rows.shape) }),
};

/** Rows added up by index, the opposite of `gatherRows`: rows [..., D], indices [...] → [numRows, D]. */
export const scatterRows = (rows: Tensor, indices: Tensor, numRows: DimLike): Tensor =>
  apply(scatterRowsOperator, [rows, indices], { numRows: dim(numRows) })[0];

const stopGradientOperator: Operator = {
  name: "stop-gradient",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x] }) => {
    lowering.emit("Identity", [lowering.name(x)], { outputs });
  },
  gradient: () => [],
  cost: free,
};

/** The same value, through which no gradient flows. */
export const stopGradient = (x: Tensor): Tensor => apply(stopGradientOperator, [x], {})[0];
