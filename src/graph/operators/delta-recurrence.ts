import { ShapeError } from "../../errors.js";
import { apply, type Lowering, type OnnxBody, type Operator } from "../operator.js";
import { formatShape, multiplyDims, type Shape, sameShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { emitDeltaChunks } from "./delta-recurrence-chunks.js";
import { deltaRecurrenceGradient } from "./delta-recurrence-gradient.js";

type DeltaAttributes = {
  /** Whether tokens are taken from the last to the first. */
  readonly reversed: boolean;
};

/** What each token brings, in the order of the operator's inputs. */
export type DeltaSteps = {
  /** Logarithm of the decay, 0 or less. */
  readonly logDecay: Tensor; // [B, T, H]
  readonly strength: Tensor; // [B, T, H]
  readonly key: Tensor; // [B, T, H, E]
  readonly addedKey: Tensor; // [B, T, H, E]
  readonly addedValue: Tensor; // [B, T, H, F]
  readonly query: Tensor; // [B, T, H, E]
};

const checkSteps = (inputs: readonly Tensor[]): void => {
  const [logDecay, strength, key, addedKey, addedValue, query, initial] = inputs;
  const [batch, length, heads, keyWidth] = key.shape;
  const valueWidth = addedValue.shape[3];
  const wide = [batch, length, heads, keyWidth];
  const fits = (tensor: Tensor, shape: Shape): boolean => sameShape(tensor.shape, shape);
  if (
    key.rank !== 4 ||
    addedValue.rank !== 4 ||
    ![logDecay, strength].every((tensor) => fits(tensor, [batch, length, heads])) ||
    ![addedKey, query].every((tensor) => fits(tensor, wide)) ||
    !fits(addedValue, [batch, length, heads, valueWidth]) ||
    !fits(initial, [batch, heads, keyWidth, valueWidth])
  ) {
    throw new ShapeError(
      `deltaRecurrence: needs decay and strength [B, T, H], keys and queries [B, T, H, E], values [B, T, H, F] ` +
        `and a state [B, H, E, F], got ${inputs.map(({ shape }) => formatShape(shape)).join(", ")}`,
    );
  }
};

/** The body of the loop over tokens; `prefix` keeps its names apart from those of other loops. */
const bodyOf = (prefix: string, withStates: boolean): OnnxBody => {
  const named = (name: string): string => `${prefix}.${name}`;
  const [state, decay, key, left, value, query] = [
    "state",
    "decay",
    "key",
    "left",
    "value",
    "query",
  ].map(named);
  const [next, read, states] = ["next", "read", "states"].map(named);
  return {
    inputs: [state, decay, key, left, value, query],
    outputs: [next, read, ...(withStates ? [states] : [])],
    nodes: [
      { opType: "MatMul", inputs: [key, state], output: named("held") },
      {
        opType: "Concat",
        inputs: [value, named("held")],
        output: named("right"),
        attributes: { axis: { int: 2 } },
      },
      { opType: "MatMul", inputs: [left, named("right")], output: named("change") },
      { opType: "Mul", inputs: [state, decay], output: named("kept") },
      { opType: "Add", inputs: [named("kept"), named("change")], output: next },
      { opType: "MatMul", inputs: [query, next], output: read },
      ...(withStates ? [{ opType: "Identity", inputs: [next], output: states }] : []),
    ],
  };
};

/** A token's vector as a matrix of one row, or of one column, [B, T, H, E] → [B, T, H, 1, E]. */
const emitUnsqueezed = (lowering: Lowering, tensor: Tensor, axes: readonly number[]): string =>
  lowering.emit("Unsqueeze", [lowering.name(tensor), lowering.ints(axes)]);

const deltaRecurrenceOperator: Operator<DeltaAttributes> = {
  name: "delta-recurrence",
  shape: (inputs) => {
    checkSteps(inputs);
    const [, , { dtype }, , value, , initial] = inputs;
    const [batch, length] = value.shape;
    return [
      { dtype, shape: value.shape },
      { dtype, shape: initial.shape },
      { dtype, shape: [batch, length, ...initial.shape.slice(1)] },
    ];
  },
  // Token by token, a state's change is of rank two, `addedKey addedValueᵀ - strength decay key (keyᵀ S)`:
  // its left factor is made for all tokens at once, before the loop.
  lower: (lowering, [read, last, states], { inputs, attributes: { reversed } }) => {
    if (states === "" && !reversed) {
      emitDeltaChunks(lowering, inputs, { read, last });
      return;
    }
    const [logDecay, strength, key, addedKey, addedValue, query, initial] = inputs;
    const decays = lowering.emit("Exp", [emitUnsqueezed(lowering, logDecay, [3, 4])]);
    const shares = lowering.emit("Mul", [
      decays,
      lowering.emit("Neg", [emitUnsqueezed(lowering, strength, [3, 4])]),
    ]);
    const taken = lowering.emit("Mul", [emitUnsqueezed(lowering, key, [4]), shares]);
    const left = lowering.emit("Concat", [emitUnsqueezed(lowering, addedKey, [4]), taken], {
      attributes: { axis: { int: 4 } },
    });
    const withStates = states !== "";
    const rows = `${read}.rows`;
    const scanned = [
      decays,
      emitUnsqueezed(lowering, key, [3]),
      left,
      emitUnsqueezed(lowering, addedValue, [3]),
      emitUnsqueezed(lowering, query, [3]),
    ];
    const made = withStates ? [rows, states] : [rows];
    const direction = reversed ? 1 : 0;
    lowering.emit("Scan", [lowering.name(initial), ...scanned], {
      outputs: [last === "" ? `${read}.last` : last, ...made],
      attributes: {
        num_scan_inputs: { int: scanned.length },
        scan_input_axes: { ints: scanned.map(() => 1) },
        scan_input_directions: { ints: scanned.map(() => direction) },
        scan_output_axes: { ints: made.map(() => 1) },
        scan_output_directions: { ints: made.map(() => direction) },
        body: { body: bodyOf(`${read}.body`, withStates) },
      },
    });
    lowering.emit("Squeeze", [rows, lowering.ints([3])], { outputs: [read] });
  },
  gradient: (operation, gradients, tools) =>
    deltaRecurrenceGradient(operation, operation.attributes.reversed, gradients, tools),
  // Of each head and token: the key's product with the state, what is taken out and put in, the reading. What
  // chunks compute besides, among their own tokens, is not counted (with heads of 128, at most 0.7 times that).
  cost: ({ inputs: [, , key, , value] }) => {
    const perToken = multiplyDims(...key.shape, value.shape[3]);
    return { attention: multiplyDims(4, perToken), elementwise: perToken };
  },
};

/**
 * A matrix S of each head that every token changes by a delta rule, and reads:
 *
 *   S_t = exp(logDecay_t) (I - strength_t key_t key_tᵀ) S_{t-1} + addedKey_t addedValue_tᵀ,  read_t = queryᵀ_t S_t
 *
 * (Yang et al. 2024, arXiv 2412.06464, equation 10, with what is added left open, so that the recurrence
 * of its gradients is another one of the same kind.) initial [B, H, E, F] → read [B, T, H, F], the state
 * `last` after all tokens, and the states after each token [B, T, H, E, F], which cost memory where they
 * are read, as gradients do: a loop over tokens gives them. Else it is computed in chunks of tokens, with memory
 * for the matrices of all chunks.
 */
export const deltaRecurrence = (
  { logDecay, strength, key, addedKey, addedValue, query }: DeltaSteps,
  initial: Tensor,
  { reversed = false }: Partial<DeltaAttributes> = {},
): { readonly read: Tensor; readonly last: Tensor; readonly states: Tensor } => {
  const inputs = [logDecay, strength, key, addedKey, addedValue, query, initial];
  const [read, last, states] = apply(deltaRecurrenceOperator, inputs, { reversed });
  return { read, last, states };
};
