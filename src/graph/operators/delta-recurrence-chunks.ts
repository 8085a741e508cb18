import type { Lowering, OnnxBody } from "../operator.js";
import type { Tensor } from "../tensor.js";

/** Tokens whose effect on each other is computed at once; a power of two. */
const chunkLength = 32;

/** What a chunk does to the state: S is the state before, C tokens, keys of width E, values of width F. */
const bodyOf = (prefix: string): OnnxBody => {
  const named = (name: string): string => `${prefix}.${name}`;
  const [state, decay, taking, taken, keys, added, queries, weights, own] = [
    "state",
    "decay", // [1, 1]: over the whole chunk
    "taking", // [C, E]
    "taken", // [C, F]
    "keys", // [E, C]
    "added", // [E, F]
    "queries", // [C, E]
    "weights", // [C, C]
    "own", // [C, F]
  ].map(named);
  const steps: readonly (readonly [opType: string, left: string, right: string, output: string])[] =
    [
      ["MatMul", taking, state, "held"],
      ["Add", named("held"), taken, "replaced"],
      ["MatMul", queries, state, "seen"],
      ["MatMul", weights, named("replaced"), "missed"],
      ["Sub", named("seen"), named("missed"), "earlier"],
      ["Add", named("earlier"), own, "read"],
      ["Mul", state, decay, "decayed"],
      ["MatMul", keys, named("replaced"), "removed"],
      ["Sub", named("decayed"), named("removed"), "kept"],
      ["Add", named("kept"), added, "next"],
    ];
  return {
    inputs: [state, decay, taking, taken, keys, added, queries, weights, own],
    outputs: [named("next"), named("read")],
    nodes: steps.map(([opType, left, right, output]) => ({
      opType,
      inputs: [left, right],
      output: named(output),
    })),
  };
};

/**
 * `(I + a)⁻¹` of strictly lower triangular matrices [.., C, C]: inverses of blocks of 1, 2, 4, … on the
 * diagonal, two of which give that of the next size. Powers of `a` would be shorter and lose all digits
 * where keys are alike.
 */
const emitUnitTriangularInverse = (lowering: Lowering, a: string, size: string): string => {
  const { emit, int, ints } = lowering;
  const places = emit("Range", [int(0), emit("Squeeze", [size]), int(1)]);
  const inOneBlock = (length: number): string => {
    const block = emit("Div", [places, int(length)]);
    return emit("Equal", [emit("Unsqueeze", [block, ints([1])]), block]);
  };
  let within = inOneBlock(1);
  let inverse: string | undefined;
  for (let length = 1; length < chunkLength; length *= 2) {
    const wider = inOneBlock(2 * length);
    const besides = emit("And", [wider, emit("Not", [within])]);
    const corner = emit("Where", [besides, a, lowering.scalar(0)]);
    if (inverse === undefined) {
      const identity = emit("Cast", [within], { attributes: { to: { int: 1 } } });
      inverse = emit("Sub", [identity, corner]);
    } else {
      const passed: string = emit("MatMul", [inverse, emit("MatMul", [corner, inverse])]);
      inverse = emit("Sub", [inverse, passed]);
    }
    within = wider;
  }
  return inverse as string;
};

/**
 * `deltaRecurrence` in chunks of tokens (the paper's section 3.3): products for all tokens of a chunk, and a loop
 * over chunks that hands on the state. With D_tj the decay from after token j to token t, and y_t what
 * token t takes out of the state,
 *
 *   (I + A) y = β γ K S + B W,  A_tj = β_t D_tj k_t·k_j,  B_tj = β_t D_tj k_t·u_j for j < t,
 *   o = γ Q S - (D ∘ QKᵀ) y + (D ∘ QUᵀ) W,  S' = γ_C S - (D_C ∘ K)ᵀ y + (D_C ∘ U)ᵀ W.
 *
 * Decays are sums of logarithms from j to t, not differences, which would lose digits after a large one.
 * Missing tokens of the last chunk are zeros, which change nothing.
 */
export const emitDeltaChunks = (
  lowering: Lowering,
  [logDecay, strength, key, addedKey, addedValue, query, initial]: readonly Tensor[],
  { read, last }: { readonly read: string; readonly last: string },
): void => {
  const { emit, int, ints } = lowering;
  const [numHeads, keyWidth] = key.shape.slice(2).map(Number);
  const valueWidth = Number(addedValue.shape[3]);
  const tokens = lowering.sides([key.shape[1]]);
  const size = emit("Min", [tokens, ints([chunkLength])]);
  const almost = emit("Sub", [emit("Add", [tokens, size]), ints([1])]);
  const count = emit("Div", [almost, size]);
  const missing = emit("Sub", [emit("Mul", [count, size]), tokens]);
  const joined = (parts: readonly string[]): string =>
    emit("Concat", parts, { attributes: { axis: { int: 0 } } });
  const pads = joined([ints([0, 0, 0, 0, 0]), missing, ints([0, 0])]);

  /** [B, T, H, X] → [chunks, B, H, C, X]. */
  const split = (name: string, width: number): string => {
    const filled = emit("Pad", [name, pads]);
    const shape = joined([ints([0]), count, size, ints([numHeads, width])]);
    const chunks = emit("Reshape", [filled, shape]);
    return emit("Transpose", [chunks], { attributes: { perm: { ints: [1, 0, 3, 2, 4] } } });
  };
  const perHead = (tensor: Tensor): string =>
    split(emit("Unsqueeze", [lowering.name(tensor), ints([3])]), 1);
  const [logs, share] = [logDecay, strength].map(perHead);
  const [k, u, q] = [key, addedKey, query].map((tensor) => split(lowering.name(tensor), keyWidth));
  const w = split(lowering.name(addedValue), valueWidth);

  const transposed = (name: string): string =>
    emit("Transpose", [name], { attributes: { perm: { ints: [0, 1, 2, 4, 3] } } });
  const lower = (name: string, diagonal: number): string =>
    emit("Trilu", [name, int(diagonal)], { attributes: { upper: { int: 0 } } });
  const lastRow = (name: string): string =>
    emit("Slice", [name, ints([-1]), ints([Number.MAX_SAFE_INTEGER]), ints([3])]);
  const times = (a: string, b: string): string => emit("Mul", [a, b]);
  const product = (a: string, b: string): string => emit("MatMul", [a, b]);

  const wide = emit("Expand", [logs, joined([ints([1, 1, 1, 1]), size])]);
  const spans = emit("CumSum", [lower(wide, -1), int(3)]);
  const decays = lower(emit("Exp", [spans]), 0);
  const sinceStart = emit("Exp", [emit("CumSum", [logs, int(3)])]);
  const untilEnd = transposed(lastRow(decays));
  const weight = times(lower(decays, -1), share);
  const [keys, added] = [k, u].map(transposed);
  const inverse = emitUnitTriangularInverse(lowering, times(weight, product(k, keys)), size);
  const taken = product(times(weight, product(k, added)), w);
  const scanned = [
    lastRow(sinceStart),
    product(inverse, times(times(share, sinceStart), k)),
    product(inverse, taken),
    transposed(times(untilEnd, k)),
    product(transposed(times(untilEnd, u)), w),
    times(sinceStart, q),
    times(decays, product(q, keys)),
    product(times(decays, product(q, added)), w),
  ];
  const chunks = `${read}.chunks`;
  emit("Scan", [lowering.name(initial), ...scanned], {
    outputs: [last === "" ? `${read}.last` : last, chunks],
    attributes: {
      num_scan_inputs: { int: scanned.length },
      body: { body: bodyOf(`${read}.body`) },
    },
  });
  const rows = emit("Transpose", [chunks], { attributes: { perm: { ints: [1, 0, 3, 2, 4] } } });
  // The sides of a chunk are known when it runs: chunks and their tokens are one side again.
  const shape = joined([ints([0]), emit("Mul", [count, size]), ints([numHeads, valueWidth])]);
  const flat = emit("Reshape", [rows, shape]);
  emit("Slice", [flat, ints([0]), tokens, ints([1])], { outputs: [read] });
};
