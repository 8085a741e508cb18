import { ShapeError } from "../../errors.js";
import type { DType } from "../../tensor-data.js";
import { onnxDataType } from "../onnx/onnx-messages.js";
import { apply, type OnnxAttribute, type Operator } from "../operator.js";
import { broadcastShapes, productOfDims } from "../shape.js";
import type { Tensor } from "../tensor.js";

type NoAttributes = Record<string, never>;
const none: NoAttributes = {};

/** One result element per input element, same shape and type. */
const unary = (
  name: string,
  opType: string,
  { domain, attributes }: { domain?: string; attributes?: Record<string, OnnxAttribute> } = {},
): ((x: Tensor) => Tensor) => {
  const operator: Operator<NoAttributes> = {
    name,
    shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
    lower: (lowering, outputs, { inputs: [x] }) => {
      lowering.emit(opType, [lowering.name(x)], { outputs, domain, attributes });
    },
    cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
  };
  return (x) => apply(operator, [x], none)[0];
};

/** One result element per pair, with ONNX broadcasting; both of one type. */
const binary = (
  name: string,
  opType: string,
  result?: DType,
): ((a: Tensor, b: Tensor) => Tensor) => {
  const operator: Operator<NoAttributes> = {
    name,
    shape: ([a, b]) => {
      if (a.dtype !== b.dtype) {
        throw new ShapeError(
          `${name}: both sides must have one type, got ${a.dtype} and ${b.dtype}; cast one of them`,
        );
      }
      return [{ dtype: result ?? a.dtype, shape: broadcastShapes(name, a.shape, b.shape) }];
    },
    lower: (lowering, outputs, { inputs: [a, b] }) => {
      lowering.emit(opType, [lowering.name(a), lowering.name(b)], { outputs });
    },
    cost: ({ outputs: [result] }) => ({ elementwise: productOfDims(result.shape) }),
  };
  return (a, b) => apply(operator, [a, b], none)[0];
};

export const add = binary("add", "Add");
export const subtract = binary("subtract", "Sub");
export const multiply = binary("multiply", "Mul");
export const divide = binary("divide", "Div");
export const maximum = binary("maximum", "Max");
export const minimum = binary("minimum", "Min");
export const power = binary("power", "Pow");
export const equal = binary("equal", "Equal", "bool");
export const less = binary("less", "Less", "bool");
export const greater = binary("greater", "Greater", "bool");
export const logicalAnd = binary("logical-and", "And");

export const negate = unary("negate", "Neg");
export const exp = unary("exp", "Exp");
export const log = unary("log", "Log");
export const sqrt = unary("sqrt", "Sqrt");
export const tanh = unary("tanh", "Tanh");
export const sigmoid = unary("sigmoid", "Sigmoid");
export const relu = unary("relu", "Relu");
export const logicalNot = unary("logical-not", "Not");

/** GELU by the error function: `x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel 2016). */
export const gelu = unary("gelu", "Gelu", { domain: "com.microsoft" });

/** GELU by its tanh approximation (Hendrycks & Gimpel 2016, section 2). */
export const geluTanh = unary("gelu-tanh", "FastGelu", { domain: "com.microsoft" });

type AlphaAttributes = { readonly alpha: number };

const gatedSigmoid: Operator<AlphaAttributes> = {
  name: "gated-sigmoid",
  shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x], attributes: { alpha } }) => {
    lowering.emit("QuickGelu", [lowering.name(x)], {
      outputs,
      domain: "com.microsoft",
      attributes: { alpha: { float: alpha } },
    });
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/** `x · sigmoid(1.702 x)`, the activation of OpenAI's CLIP. */
export const quickGelu = (x: Tensor): Tensor => apply(gatedSigmoid, [x], { alpha: 1.702 })[0];

/** `x · sigmoid(x)`. */
export const silu = (x: Tensor): Tensor => apply(gatedSigmoid, [x], { alpha: 1 })[0];

const whereOperator: Operator<NoAttributes> = {
  name: "where",
  shape: ([condition, a, b]) => {
    if (condition.dtype !== "bool" || a.dtype !== b.dtype) {
      throw new ShapeError(
        `where: needs a bool condition and two values of one type, got ${condition.dtype}, ${a.dtype}, ${b.dtype}`,
      );
    }
    const shape = broadcastShapes(
      "where",
      condition.shape,
      broadcastShapes("where", a.shape, b.shape),
    );
    return [{ dtype: a.dtype, shape }];
  },
  lower: (lowering, outputs, { inputs }) => {
    lowering.emit("Where", inputs.map(lowering.name), { outputs });
  },
  cost: ({ outputs: [result] }) => ({ elementwise: productOfDims(result.shape) }),
};

/** `a` where `condition` holds, else `b`; all three broadcast. */
export const where = (condition: Tensor, a: Tensor, b: Tensor): Tensor =>
  apply(whereOperator, [condition, a, b], none)[0];

const castOperator: Operator<{ readonly dtype: DType }> = {
  name: "cast",
  shape: ([x], { dtype }) => [{ dtype, shape: x.shape }],
  lower: (lowering, outputs, { inputs: [x], attributes: { dtype } }) => {
    lowering.emit("Cast", [lowering.name(x)], {
      outputs,
      attributes: { to: { int: onnxDataType[dtype] } },
    });
  },
  cost: () => ({}),
};

/** The same values as another element type. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  x.dtype === dtype ? x : apply(castOperator, [x], { dtype })[0];
