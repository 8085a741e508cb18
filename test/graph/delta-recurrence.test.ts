import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { type DeltaSteps, deltaRecurrence, input, type Tensor } from "../../src/graph/index.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

type Sides = {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  readonly keyWidth: number;
  readonly valueWidth: number;
};

const stepNames = ["logDecay", "strength", "key", "addedKey", "addedValue", "query"] as const;
type Steps = Readonly<Record<(typeof stepNames)[number], TensorData>>;

const shapesOf = ({ batch, length, heads, keyWidth, valueWidth }: Sides) => {
  const perHead = [batch, length, heads];
  const keys = [...perHead, keyWidth];
  return {
    steps: {
      logDecay: perHead,
      strength: perHead,
      key: keys,
      addedKey: keys,
      addedValue: [...perHead, valueWidth],
      query: keys,
    },
    initial: [batch, heads, keyWidth, valueWidth],
  };
};

/** The recurrence as it is defined, in double precision. */
const referenceOf = (
  { batch, length, heads, keyWidth, valueWidth }: Sides,
  steps: Steps,
  initial: TensorData,
  reversed: boolean,
) => {
  const last = Array.from(initial.data, Number);
  const read = new Array<number>(batch * length * heads * valueWidth).fill(0);
  const states: number[] = new Array(batch * length * heads * keyWidth * valueWidth).fill(0);
  for (let b = 0; b < batch; b += 1) {
    for (let order = 0; order < length; order += 1) {
      const t = reversed ? length - 1 - order : order;
      for (let h = 0; h < heads; h += 1) {
        const at = (b * length + t) * heads + h;
        const state = (e: number, f: number): number =>
          ((b * heads + h) * keyWidth + e) * valueWidth + f;
        const [decay, strength] = [
          Math.exp(Number(steps.logDecay.data[at])),
          Number(steps.strength.data[at]),
        ];
        const keyOf = ({ data }: TensorData, e: number): number => Number(data[at * keyWidth + e]);
        for (let f = 0; f < valueWidth; f += 1) {
          let held = 0;
          for (let e = 0; e < keyWidth; e += 1) held += keyOf(steps.key, e) * last[state(e, f)];
          const added = Number(steps.addedValue.data[at * valueWidth + f]);
          for (let e = 0; e < keyWidth; e += 1) {
            const kept = last[state(e, f)] - strength * keyOf(steps.key, e) * held;
            last[state(e, f)] = decay * kept + keyOf(steps.addedKey, e) * added;
            read[at * valueWidth + f] += keyOf(steps.query, e) * last[state(e, f)];
            states[(at * keyWidth + e) * valueWidth + f] = last[state(e, f)];
          }
        }
      }
    }
  }
  return { read, last, states };
};

const declare = ({ batch: _, length: __, ...sides }: Sides) => {
  const { steps, initial } = shapesOf({ ...sides, batch: 1, length: 1 });
  const open = (name: string, [, , ...rest]: readonly number[]): Tensor =>
    input(name, "float32", ["B", "T", ...rest]);
  const declared = Object.fromEntries(
    Object.entries(steps).map(([name, shape]) => [name, open(name, shape)]),
  ) as DeltaSteps;
  return { declared, start: input("initial", "float32", ["B", ...initial.slice(1)]) };
};

const side = fc.integer({ min: 1, max: 5 });
const anySides = fc.record({
  batch: fc.integer({ min: 1, max: 3 }),
  // One chunk, and several, of which the last may be short.
  length: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 60, max: 200 })),
  heads: side,
  keyWidth: side,
  valueWidth: side,
});

const drawn = (sides: Sides, seed: number) => {
  const random = randomTensors(seed);
  const { steps, initial } = shapesOf(sides);
  const values = Object.fromEntries(
    Object.entries(steps).map(([name, shape]) => [name, random(shape)]),
  ) as Record<keyof Steps, TensorData<"float32">>;
  for (const [index, value] of values.logDecay.data.entries()) {
    values.logDecay.data[index] = -3 * Math.abs(value);
  }
  return { steps: values, initial: random(initial) };
};

describe("the delta recurrence", () => {
  const runner = useEngine();

  test("equals a loop over its definition, in either direction, for any sides", async () => {
    await fc.assert(
      fc.asyncProperty(anySides, fc.boolean(), fc.nat(), async (sides, reversed, seed) => {
        const { steps, initial } = drawn(sides, seed);
        const { declared, start } = declare(sides);
        const { states, ...needed } = deltaRecurrence(declared, start, { reversed });
        const expected = referenceOf(sides, steps, initial, reversed);
        // By chunks where nobody wants the states, and token by token.
        for (const outputs of [needed, { ...needed, states }]) {
          const results = await runner.compute(outputs, { ...steps, initial });
          for (const [name, result] of Object.entries(results)) {
            const values = expected[name as keyof typeof expected];
            expectClose(result, float32(result.shape, values));
          }
        }
      }),
      { numRuns: 25 },
    );
  });

  test("goes on from its state: in parts of any length it is the whole", async () => {
    await fc.assert(
      fc.asyncProperty(anySides, fc.nat(), fc.nat(150), async (sides, seed, cut) => {
        const { steps, initial } = drawn(sides, seed);
        const { declared, start } = declare(sides);
        const { read, last } = deltaRecurrence(declared, start);
        const run = (feeds: Record<string, TensorData>) => runner.compute({ read, last }, feeds);
        const middle = Math.min(cut, sides.length - 1);
        if (middle === 0) return;
        const part = (from: number, to: number): Record<string, TensorData> =>
          Object.fromEntries(
            Object.entries(steps).map(([name, { shape, data }]) => {
              const [batch, length, ...rest] = shape;
              const row = rest.reduce((a, b) => a * b, 1);
              const kept = Array.from({ length: batch }, (_, b) => [
                ...data.subarray((b * length + from) * row, (b * length + to) * row),
              ]);
              return [name, float32([batch, to - from, ...rest], kept.flat())];
            }),
          );
        const whole = await run({ ...steps, initial });
        const first = await run({ ...part(0, middle), initial });
        const second = await run({ ...part(middle, sides.length), initial: first.last });
        expectClose(second.last, whole.last);
        const rest = whole.read.data.length / sides.batch / sides.length;
        const ends = Array.from({ length: sides.batch }, (_, b) =>
          Array.from(
            whole.read.data.subarray(
              (b * sides.length + middle) * rest,
              (b + 1) * sides.length * rest,
            ),
            Number,
          ),
        );
        expectClose(second.read, float32(second.read.shape, ends.flat()));
      }),
      { numRuns: 12 },
    );
  });

  test("keeps its digits where all keys are one, and where some decays leave nothing", async () => {
    const sides = { batch: 1, length: 150, heads: 2, keyWidth: 4, valueWidth: 3 };
    const { steps, initial } = drawn(sides, 11);
    steps.key.data.set(Array.from({ length: steps.key.data.length }, () => 0.5));
    steps.addedKey.data.set(steps.key.data);
    steps.strength.data.fill(1);
    steps.logDecay.data.forEach((_, index) => {
      steps.logDecay.data[index] = index % 46 === 45 ? -1e4 : -1e-3;
    });
    const { declared, start } = declare(sides);
    const { read, last } = deltaRecurrence(declared, start);
    const results = await runner.compute({ read, last }, { ...steps, initial });
    const expected = referenceOf(sides, steps, initial, false);
    expectClose(results.read, float32(results.read.shape, expected.read));
    expectClose(results.last, float32(results.last.shape, expected.last));
  });

  test("refuses sides that do not fit", () => {
    const sides = { batch: 1, length: 1, heads: 2, keyWidth: 3, valueWidth: 4 };
    const { declared, start } = declare(sides);
    const other = declare({ ...sides, keyWidth: 5 });
    const bad = [
      [{ ...declared, query: other.declared.query }, start],
      [{ ...declared, logDecay: declared.key }, start],
      [declared, other.start],
    ] as const;
    for (const [steps, from] of bad) {
      expect(() => deltaRecurrence(steps, from)).toThrow(ShapeError);
    }
  });
});
