import { expect, test } from "vitest";
import { WeightsMismatchError } from "../../src/errors.js";
import { matchWeights } from "../../src/weights/matching.js";
import { createRenameTable } from "../../src/weights/rename.js";
import type { TensorEntry } from "../../src/weights/safetensors.js";

const entry = (name: string, shape: number[]): TensorEntry => ({
  name,
  dtype: "float32",
  shape,
  byteOffset: 0,
  byteLength: 0,
});
const found = new Map(
  [entry("m.a.weight", [2, 3]), entry("m.b.weight", [4]), entry("m.conv", [8, 3, 2, 2])].map(
    (tensor) => [tensor.name, tensor],
  ),
);
const renames = createRenameTable([["x", "m"]]);
const expected = new Map<string, readonly number[] | { shape: number[]; viewOf: number[] }>([
  ["x.a.weight", [2, 3]],
  ["x.b.weight", [4]],
  ["x.conv", { shape: [8, 12], viewOf: [8, 3, 2, 2] }],
]);

const mismatch = (run: () => unknown): WeightsMismatchError => {
  try {
    run();
  } catch (error) {
    if (error instanceof WeightsMismatchError) return error;
    throw error;
  }
  throw new Error("expected a WeightsMismatchError");
};

test("a complete file gives every parameter its stored tensor", () => {
  const matched = matchWeights(expected, found, renames);
  expect([...matched.keys()]).toEqual([...expected.keys()]);
  expect(matched.get("x.conv")).toBe(found.get("m.conv"));
});

test("tensors held with their file match as well", () => {
  const located = new Map([...found].map(([name, tensor]) => [name, { file: "f", entry: tensor }]));
  expect(matchWeights(expected, located, renames).get("x.b.weight")?.file).toBe("f");
});

test("all three kinds of difference are reported at once, by published name", () => {
  const wanted = new Map([
    ...expected,
    ["x.gone", [1]],
    ["other", [1]],
    ["x.b.weight", [5]],
  ] as const);
  const error = mismatch(() =>
    matchWeights(wanted, new Map([...found, ["extra", entry("extra", [1])]]), renames),
  );
  expect(error.missing).toEqual(["m.gone", "other (no rename rule)"]);
  expect(error.unexpected).toEqual(["extra"]);
  expect(error.wrongShape).toEqual(["m.b.weight (expected [5], got [4])"]);
  expect(error.message).toMatch(/2 missing, 1 unexpected, 1 of a wrong shape/);
});

test("another shape of as many elements is wrong unless the caller calls it a view", () => {
  const flat = new Map(expected).set("x.conv", [8, 12]);
  expect(mismatch(() => matchWeights(flat, found, renames)).wrongShape).toHaveLength(1);
  const bad = new Map(expected).set("x.conv", { shape: [8, 11], viewOf: [8, 3, 2, 2] });
  expect(mismatch(() => matchWeights(bad, found, renames)).wrongShape).toHaveLength(1);
});

test("only ignored names may be left over, also with a global expression", () => {
  const more = new Map([...found, ["p.1", entry("p.1", [1])], ["p.2", entry("p.2", [1])]]);
  expect(matchWeights(expected, more, renames, { ignore: [/^p\./g] }).size).toBe(3);
  expect(
    mismatch(() => matchWeights(expected, more, renames, { ignore: [/^p\.1/] })).unexpected,
  ).toEqual(["p.2"]);
});

test("a long list is cut in the message and complete in the error", () => {
  const many = new Map(Array.from({ length: 25 }, (_, at) => [`x.n${at}`, [1]]));
  const error = mismatch(() => matchWeights(many, new Map<string, TensorEntry>(), renames));
  expect(error.missing).toHaveLength(25);
  expect(error.message).toMatch(/missing \(25\): m\.n0, .*m\.n9, and 15 more/);
});
