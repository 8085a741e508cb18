import { GraphError, ShapeError } from "../../errors.js";
import { type DType, float32 } from "../../tensor-data.js";
import { onnxDataType } from "../onnx/onnx-messages.js";
import { apply, type GradientTools, type Operator } from "../operator.js";
import { broadcastShapes, productOfDims } from "../shape.js";
import { constant, type Tensor } from "../tensor.js";

type NoAttributes = Record<string, never>;
const none: NoAttributes = {};

/** A float32 constant without sides. */
export const scalar = (value: number): Tensor => constant(float32([], [value]));

/** Derivative of an element's result y by the element x, as a tensor of x's shape. */
type Slope = (x: Tensor, y: Tensor, tools: GradientTools) => Tensor;

/** One result element per input element, same shape and type. */
const unary = (
  name: string,
  opType: string,
  slope: Slope,
  domain?: string,
): ((x: Tensor) => Tensor) => {
  const operator: Operator<NoAttributes> = {
    name,
    shape: ([x]) => [{ dtype: x.dtype, shape: x.shape }],
    lower: (lowering, outputs, { inputs: [x] }) => {
      lowering.emit(opType, [lowering.name(x)], { outputs, domain });
    },
    gradient: ({ inputs: [x], outputs: [y] }, [g], tools) =>
      g === undefined ? [] : [tools.multiply(g, slope(x, y, tools))],
    cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
  };
  return (x) => apply(operator, [x], none)[0];
};

/** One result element per pair, with ONNX broadcasting; both of one type. */
const binary = (
  name: string,
  opType: string,
  {
    result,
    slopes,
  }: {
    readonly result?: DType;
    /** The output's gradient g carried to each side, before sides that were broadcast are summed. */
    readonly slopes?: (
      g: Tensor,
      sides: readonly [a: Tensor, b: Tensor, y: Tensor],
      tools: GradientTools,
    ) => readonly [Tensor, Tensor];
  } = {},
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
    ...(slopes && {
      gradient: ({ inputs: [a, b], outputs: [y] }, [g], tools) => {
        if (g === undefined) return [];
        const [left, right] = slopes(g, [a, b, y], tools);
        return [tools.sumToShape(left, a.shape), tools.sumToShape(right, b.shape)];
      },
    }),
    cost: ({ outputs: [result] }) => ({ elementwise: productOfDims(result.shape) }),
  };
  return (a, b) => apply(operator, [a, b], none)[0];
};

export const add = binary("add", "Add", { slopes: (g) => [g, g] });
export const subtract = binary("subtract", "Sub", {
  slopes: (g, _, { negate }) => [g, negate(g)],
});
export const multiply = binary("multiply", "Mul", {
  slopes: (g, [a, b], { multiply }) => [multiply(g, b), multiply(g, a)],
});
export const divide = binary("divide", "Div", {
  slopes: (g, [, b, y], { divide, multiply, negate }) => {
    const left = divide(g, b);
    return [left, negate(multiply(left, y))];
  },
});

/** Gradient to the side that was chosen; to the first where both are equal. */
const chosenSide = (
  g: Tensor,
  isFirst: Tensor,
  { multiply, scalar, where }: GradientTools,
): readonly [Tensor, Tensor] => {
  const zero = multiply(g, scalar(0));
  return [where(isFirst, g, zero), where(isFirst, zero, g)];
};
export const maximum = binary("maximum", "Max", {
  slopes: (g, [a, b], tools) => chosenSide(g, tools.logicalNot(tools.less(a, b)), tools),
});
export const minimum = binary("minimum", "Min", {
  slopes: (g, [a, b], tools) => chosenSide(g, tools.logicalNot(tools.greater(a, b)), tools),
});
export const equal = binary("equal", "Equal", { result: "bool" });
export const less = binary("less", "Less", { result: "bool" });
export const greater = binary("greater", "Greater", { result: "bool" });
export const logicalAnd = binary("logical-and", "And");

const noSlope: Slope = (x) => {
  throw new GraphError(`grad: a ${x.dtype} value has no gradient`);
};

export const negate = unary("negate", "Neg", (_x, _y, { scalar }) => scalar(-1));
export const exp = unary("exp", "Exp", (_, y) => y);
export const log = unary("log", "Log", (x, _, { divide, scalar }) => divide(scalar(1), x));
export const sqrt = unary("sqrt", "Sqrt", (_, y, { divide, scalar }) => divide(scalar(0.5), y));
export const erf = unary("erf", "Erf", (x, _, { exp, multiply, scalar }) =>
  multiply(scalar(2 / Math.sqrt(Math.PI)), exp(multiply(multiply(x, x), scalar(-1)))),
);
export const tanh = unary("tanh", "Tanh", (_, y, { multiply, scalar, subtract }) =>
  subtract(scalar(1), multiply(y, y)),
);
export const sigmoid = unary("sigmoid", "Sigmoid", (_, y, { multiply, scalar, subtract }) =>
  multiply(y, subtract(scalar(1), y)),
);
/** `log(1 + exp(x))`. */
export const softplus = unary("softplus", "Softplus", (x, _, { sigmoid }) => sigmoid(x));
export const relu = unary("relu", "Relu", (x, _, { cast, greater, scalar }) =>
  cast(greater(x, scalar(0)), "float32"),
);
export const logicalNot = unary("logical-not", "Not", noSlope);

/** GELU by the error function: `x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel 2016). */
export const gelu = unary(
  "gelu",
  "Gelu",
  (x, _, { add, erf, exp, multiply, scalar }) => {
    const share = multiply(scalar(0.5), add(scalar(1), erf(multiply(x, scalar(Math.SQRT1_2)))));
    const bell = exp(multiply(multiply(x, x), scalar(-0.5)));
    return add(share, multiply(multiply(x, bell), scalar(1 / Math.sqrt(2 * Math.PI))));
  },
  "com.microsoft",
);

/** GELU by its tanh approximation (Hendrycks & Gimpel 2016, section 2). */
export const geluTanh = unary(
  "gelu-tanh",
  "FastGelu",
  (x, _, { add, multiply, scalar, subtract, tanh }) => {
    const [outer, inner] = [Math.sqrt(2 / Math.PI), 0.044715];
    const square = multiply(x, x);
    const bent = tanh(
      multiply(multiply(x, scalar(outer)), add(scalar(1), multiply(square, scalar(inner)))),
    );
    const bentSlope = multiply(
      subtract(scalar(1), multiply(bent, bent)),
      add(scalar(outer), multiply(square, scalar(3 * inner * outer))),
    );
    return multiply(scalar(0.5), add(add(scalar(1), bent), multiply(x, bentSlope)));
  },
  "com.microsoft",
);

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
  // With y = x σ(a x): dy/dx = σ + a y (1 - σ).
  gradient: ({ inputs: [x], outputs: [y], attributes: { alpha } }, [g], tools) => {
    if (g === undefined) return [];
    const { add, multiply, scalar, sigmoid, subtract } = tools;
    const times = (tensor: Tensor): Tensor =>
      alpha === 1 ? tensor : multiply(tensor, scalar(alpha));
    const gate = sigmoid(times(x));
    const slope = add(gate, times(multiply(y, subtract(scalar(1), gate))));
    return [multiply(g, slope)];
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
  gradient: ({ inputs: [condition, a, b] }, [g], { multiply, scalar, sumToShape, where }) => {
    if (g === undefined) return [];
    const zero = multiply(g, scalar(0));
    return [
      undefined,
      sumToShape(where(condition, g, zero), a.shape),
      sumToShape(where(condition, zero, g), b.shape),
    ];
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
  gradient: ({ inputs: [x] }, [g], { cast }) =>
    g === undefined || x.dtype !== "float32" ? [] : [cast(g, x.dtype)],
  cost: () => ({}),
};

/** The same values as another element type. */
export const cast = (x: Tensor, dtype: DType): Tensor =>
  x.dtype === dtype ? x : apply(castOperator, [x], { dtype })[0];
