import { GraphError } from "../../errors.js";
import type { GradientTools } from "../operator.js";
import { addDims, type Dim, subtractDims } from "../shape.js";
import type { Operation, Tensor } from "../tensor.js";

/**
 * Gradients of `deltaRecurrence`. That of a state, H, obeys the same recurrence the other way round,
 * because I - βkkᵀ is symmetric: H_{t-1} = a_t (I - β_t k_t k_tᵀ) H_t + q_{t-1} g_{t-1}ᵀ. All else
 * follows for each token by itself from the states and their gradients.
 */
export const deltaRecurrenceGradient = (
  { inputs, outputs }: Operation,
  reversed: boolean,
  [fromRead, fromLast, fromStates]: readonly (Tensor | undefined)[],
  tools: GradientTools,
): readonly Tensor[] => {
  if (fromStates !== undefined) {
    throw new GraphError(
      "grad: the states that deltaRecurrence passes through have no gradient; read them by its queries",
    );
  }
  const [logDecay, strength, key, addedKey, addedValue, query, initial] = inputs;
  const states = outputs[2]; // [B, T, H, E, F]
  const { add, concat, exp, matmul, multiply, negate, padAxis, scalar, subtract } = tools;
  const { reshape, slice, sum } = tools;
  const decay = exp(logDecay);
  const [batch, length, heads, keyWidth] = key.shape;
  const valueWidth = addedValue.shape[3];
  const lastButOne = subtractDims(length, 1);

  /** Zeros for the token that ends the recurrence, for all others x of the token after. */
  const ofNext = (x: Tensor): Tensor =>
    reversed
      ? padAxis(slice(x, 1, 0, lastButOne), 1, 1, 0)
      : padAxis(slice(x, 1, 1, length), 1, 0, 1);
  /** `first` for the token that begins the recurrence, for all others x of the token before. */
  const ofPrevious = (x: Tensor, first: Tensor): Tensor =>
    concat(reversed ? [slice(x, 1, 1, length), first] : [first, slice(x, 1, 0, lastButOne)], 1);

  const reading = fromRead ?? multiply(addedValue, scalar(0));
  // After the token that ends it nothing changes the state any more: no decay, strength 0.
  const { states: toState } = tools.deltaRecurrence(
    {
      logDecay: ofNext(logDecay),
      strength: ofNext(strength),
      key: ofNext(key),
      addedKey: query,
      addedValue: reading,
      query,
    },
    fromLast ?? multiply(initial, scalar(0)),
    { reversed: !reversed },
  );
  const before = ofPrevious(states, reshape(initial, [batch, 1, heads, keyWidth, valueWidth]));

  /** matrix [.., E, F], x [.., F] → [.., E]. */
  const times = (matrix: Tensor, x: Tensor): Tensor =>
    reshape(matmul(matrix, reshape(x, [...x.shape, 1])), key.shape);
  /** x [.., E], matrix [.., E, F] → [.., F]. */
  const across = (x: Tensor, matrix: Tensor): Tensor =>
    reshape(matmul(reshape(x, [batch, length, heads, 1, keyWidth]), matrix), addedValue.shape);
  const [held, pulled] = [before, toState].map((matrix) => across(key, matrix));
  const along = sum(multiply(held, pulled), [3]);
  const share = reshape(multiply(decay, strength), [batch, length, heads, 1]);
  const toKey = multiply(share, add(times(toState, held), times(before, pulled)));

  const begin: Dim = reversed ? lastButOne : 0;
  /** x of the token that begins the recurrence, [B, T, H, ..] → [B, H, ..rest]. */
  const ofFirst = (x: Tensor, rest: readonly Dim[]): Tensor =>
    reshape(slice(x, 1, begin, addDims(begin, 1)), [batch, heads, ...rest]);
  const decayed = multiply(ofFirst(toState, [keyWidth, valueWidth]), ofFirst(decay, [1, 1]));
  const corrected = multiply(
    matmul(ofFirst(key, [keyWidth, 1]), ofFirst(pulled, [1, valueWidth])),
    ofFirst(share, [1, 1]),
  );
  return [
    multiply(decay, subtract(sum(multiply(toState, before), [3, 4]), multiply(strength, along))),
    negate(multiply(decay, along)),
    negate(toKey),
    times(toState, addedValue),
    across(addedKey, toState),
    times(states, reading),
    subtract(decayed, corrected),
  ];
};
