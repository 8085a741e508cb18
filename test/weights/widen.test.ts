import fc from "fast-check";
import { expect, test } from "vitest";
import { ShapeError } from "../../src/errors.js";
import { int64 } from "../../src/tensor-data.js";
import {
  narrowToBfloat16,
  narrowToFloat16,
  widenBfloat16,
  widenFloat16,
  widenTensor,
} from "../../src/weights/widen.js";

const all = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

/** Value of 16-bit float bits by the definition, in double precision. */
const numberOf = (bits: number, exponentBits: number): number => {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> mantissaBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction ? Number.NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction) * 2 ** (exponent - bias) : fraction * 2 ** (1 - bias));
};

const formats = [
  { name: "float16", exponentBits: 5, widen: widenFloat16, narrow: narrowToFloat16 },
  { name: "bfloat16", exponentBits: 8, widen: widenBfloat16, narrow: narrowToBfloat16 },
];

test.each(formats)("$name: all 65,536 values widen exactly", ({ exponentBits, widen }) => {
  const wide = widen(all);
  for (const bits of all)
    if (!Object.is(wide[bits], numberOf(bits, exponentBits)))
      throw new Error(`${bits}: ${wide[bits]} is not ${numberOf(bits, exponentBits)}`);
});

test.each(formats)(
  "$name: narrowing undoes widening, NaN stays NaN",
  ({ widen, narrow, exponentBits }) => {
    const back = narrow(widen(all));
    for (const bits of all) {
      const wasNaN = Number.isNaN(numberOf(bits, exponentBits));
      if (wasNaN ? !Number.isNaN(numberOf(back[bits], exponentBits)) : back[bits] !== bits)
        throw new Error(`${bits} came back as ${back[bits]}`);
    }
  },
);

test.each(formats)("$name: narrowing is to nearest, ties to even", ({ exponentBits, narrow }) => {
  const maxFinite = 2 ** 15 - 2 ** (15 - exponentBits) - 1;
  const check = (value: number) => {
    const [bits] = narrow(Float32Array.of(value));
    const magnitude = bits & 0x7fff;
    const sign = bits >> 15 ? -1 : 1;
    expect(sign === -1).toBe(value < 0 || Object.is(value, -0));
    const at = (near: number) =>
      near > maxFinite
        ? numberOf(maxFinite, exponentBits) * 2 - numberOf(maxFinite - 1, exponentBits)
        : numberOf(near, exponentBits);
    const distance = (near: number) => Math.abs(Math.abs(value) - at(near));
    const own = distance(Math.min(magnitude, maxFinite + 1));
    for (const near of [magnitude - 1, magnitude + 1]) {
      if (near < 0 || near > maxFinite + 1) continue;
      if (magnitude > maxFinite && Math.abs(value) >= at(magnitude)) continue;
      if (own > distance(near) || (own === distance(near) && magnitude % 2 === 1))
        throw new Error(`${value} became ${bits}, but ${near} is nearer`);
    }
  };
  fc.assert(fc.property(fc.float({ noNaN: true }), check), { numRuns: 3000 });
  // Halfway between neighbours, and one float32 beside it, over the whole range.
  for (let bits = 0; bits < maxFinite; bits += 7) {
    const middle = (numberOf(bits, exponentBits) + numberOf(bits + 1, exponentBits)) / 2;
    const wide = Float32Array.of(middle, 0, 0);
    const raw = new Uint32Array(wide.buffer);
    raw[1] = raw[0] + 1;
    raw[2] = Math.max(raw[0], 1) - 1;
    for (const value of wide) for (const signed of [value, -value]) check(signed);
  }
  expect(numberOf(narrow(Float32Array.of(3.4e38 * 10))[0], exponentBits)).toBe(Infinity);
});

test("float32 is passed through, integers are refused", () => {
  const tensor = { dtype: "float32", shape: [1], data: Float32Array.of(1) } as const;
  expect(widenTensor(tensor)).toBe(tensor);
  expect(widenTensor({ dtype: "bfloat16", shape: [1], data: Uint16Array.of(0x3f80) }).data).toEqual(
    Float32Array.of(1),
  );
  expect(() => widenTensor(int64([1], [1]))).toThrow(ShapeError);
});
