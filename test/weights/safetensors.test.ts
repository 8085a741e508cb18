import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SafetensorsError, ShapeError } from "../../src/errors.js";
import { bool, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { parseSafetensors } from "../../src/weights/safetensors.js";
import { encodeSafetensors, planSafetensors } from "../../src/weights/safetensors-encoding.js";
import {
  openSafetensors,
  saveSafetensors,
  writeSafetensors,
} from "../../src/weights/safetensors-file.node.js";
import { bytesOfTensor } from "../../src/weights/tensor-bytes.js";

/** A file from a hand-written header and that many data bytes. */
const fileOf = (header: unknown, dataBytes: number): Uint8Array => {
  const text = typeof header === "string" ? header : JSON.stringify(header);
  const json = new TextEncoder().encode(text);
  const bytes = new Uint8Array(8 + json.byteLength + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.byteLength), true);
  bytes.set(json, 8);
  return bytes;
};
const entry = (dtype: unknown, shape: unknown, begin: unknown, end: unknown) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

const anyTensor: fc.Arbitrary<TensorData> = fc
  .tuple(
    fc.constantFrom("float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"),
    fc.array(fc.nat(4), { maxLength: 3 }),
    fc.infiniteStream(fc.nat(65_535)),
  )
  .map(([dtype, shape, stream]): TensorData => {
    const count = shape.reduce((product, side) => product * side, 1);
    const values = [...stream.take(count)];
    if (dtype === "float32") return float32(shape, values);
    if (dtype === "int64") return int64(shape, values);
    if (dtype === "bool")
      return bool(
        shape,
        values.map((value) => value % 2),
      );
    if (dtype === "int32") return { dtype, shape, data: Int32Array.from(values) };
    if (dtype === "uint8") return { dtype, shape, data: Uint8Array.from(values) };
    return dtype === "float16"
      ? { dtype, shape, data: Uint16Array.from(values) }
      : { dtype: "bfloat16", shape, data: Uint16Array.from(values) };
  });
const anyTensors = fc.dictionary(
  fc.string({ minLength: 1 }).filter((name) => name !== "__metadata__" && name !== "__proto__"),
  anyTensor,
  { maxKeys: 6 },
);

describe("bytes", () => {
  test("load(save(x)) is x, metadata included", () => {
    fc.assert(
      fc.property(anyTensors, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
        const saved = encodeSafetensors(new Map(Object.entries(tensors)), metadata);
        const loaded = parseSafetensors(saved);
        expect(Object.fromEntries(loaded.tensors)).toEqual({ ...tensors });
        expect(loaded.metadata).toEqual(metadata);
      }),
    );
  });

  test("the layout is the official library's: widest type first, then by name, header padded to 8", () => {
    const bytes = encodeSafetensors(
      new Map<string, TensorData>([
        ["b", float32([1], [1])],
        ["flag", bool([3], [1, 0, 1])],
        ["half", { dtype: "float16", shape: [], data: Uint16Array.of(0x3c00) }],
        ["a", float32([1, 2], [2, 3])],
        ["7", int64([1], [9])],
      ]),
      { format: "pt" },
    );
    const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerBytes % 8).toBe(0);
    expect(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)).trimEnd()).toBe(
      '{"__metadata__":{"format":"pt"},' +
        '"7":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
        '"a":{"dtype":"F32","shape":[1,2],"data_offsets":[8,16]},' +
        '"b":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},' +
        '"half":{"dtype":"F16","shape":[],"data_offsets":[20,22]},' +
        '"flag":{"dtype":"BOOL","shape":[3],"data_offsets":[22,25]}}',
    );
    expect(bytes.byteLength).toBe(8 + headerBytes + 25);
  });

  test("entries tell where a tensor lies in the file, so that it can be mapped", () => {
    const tensors = new Map([["x", float32([2], [1.5, -2])]]);
    const { entries } = planSafetensors([{ name: "x", dtype: "float32", shape: [2] }]);
    const bytes = encodeSafetensors(tensors);
    const { byteOffset, byteLength } = entries[0];
    expect(bytes.slice(byteOffset, byteOffset + byteLength)).toEqual(
      bytesOfTensor(float32([2], [1.5, -2])),
    );
  });

  test("data that does not fill its shape is refused", () => {
    expect(() => encodeSafetensors(new Map([["x", float32([3], [1, 2])]]))).toThrow(ShapeError);
  });
});

const good = { x: entry("F32", [2], 0, 8), y: entry("U8", [3], 8, 11) };

describe("every departure from the format is refused with the reason", () => {
  const json = new TextEncoder().encode(JSON.stringify(good));
  const cases: [string, Uint8Array, RegExp][] = [
    ["an empty file", new Uint8Array(0), /at least 10 bytes, got 0/],
    ["a length beyond the file", fileOf(good, 11).subarray(0, 40), /inside the file/],
    ["an absurd length", new TextEncoder().encode("<!DOCTYPE html><html>"), /at most 100000000/],
    ["no UTF-8", fileOf("{}", 0).with(8, 0xff), /UTF-8/],
    ["no JSON", fileOf("{]", 0), /JSON, got "\{\]"/],
    ["no object", fileOf("[]", 0), /JSON object/],
    ["an unknown type", fileOf({ x: entry("F33", [2], 0, 8) }, 8), /tensor "x" must have one of/],
    ["an unsupported type", fileOf({ x: entry("F64", [1], 0, 8) }, 8), /Convert the tensor/],
    ["a negative side", fileOf({ x: entry("F32", [-2], 0, 8) }, 8), /non-negative integers/],
    ["a broken side", fileOf({ x: entry("F32", [1.5], 0, 6) }, 6), /non-negative integers/],
    ["a missing shape", fileOf({ x: { dtype: "F32" } }, 0), /shape/],
    ["one offset", fileOf({ x: { ...good.x, data_offsets: [0] } }, 8), /two non-negative/],
    ["a size unlike its shape", fileOf({ x: entry("F32", [2], 0, 12) }, 12), /span 8 bytes/],
    ["offsets backwards", fileOf({ x: entry("F32", [2], 8, 0) }, 8), /span 8 bytes/],
    ["a product beyond integers", fileOf({ x: entry("U8", [2 ** 40, 2 ** 40], 0, 8) }, 8), /span/],
    ["data beyond the file", fileOf(good, 10), /"y" must end inside the file/],
    ["data after the last tensor", fileOf(good, 12), /must end after its last tensor/],
    ["a hole", fileOf({ ...good, y: entry("U8", [3], 9, 12) }, 12), /"y" .*a hole/],
    ["an overlap", fileOf({ ...good, y: entry("U8", [3], 7, 10) }, 10), /"y" .*an overlap/],
    [
      "a name twice",
      fileOf(`{"x":${JSON.stringify(good.x)},"\\u0078":${JSON.stringify(good.x)}}`, 8),
      /duplicate keys, got "x" twice/,
    ],
    [
      "a field twice",
      fileOf('{"x":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1),
      /duplicate keys, got "dtype"/,
    ],
    ["metadata of numbers", fileOf({ __metadata__: { a: 1 } }, 0), /__metadata__\.a/],
    ["metadata of a list", fileOf({ __metadata__: [] }, 0), /__metadata__ must map/],
  ];
  test.each(cases)("%s", (_, bytes, message) => {
    expect(() => parseSafetensors(bytes, "model.safetensors")).toThrow(SafetensorsError);
    expect(() => parseSafetensors(bytes, "model.safetensors")).toThrow(message);
    expect(() => parseSafetensors(bytes, "model.safetensors")).toThrow(/model\.safetensors/);
  });

  test("a boolean that is neither 0 nor 1", () => {
    const bytes = fileOf({ x: entry("BOOL", [2], 0, 2) }, 2);
    bytes[bytes.length - 1] = 7;
    expect(() => parseSafetensors(bytes)).toThrow(/must be 0 or 1, got 7/);
  });

  test("the untouched file is accepted", () => {
    expect([...parseSafetensors(fileOf(good, 11)).tensors.keys()]).toEqual(["x", "y"]);
  });

  test("any damage to the header ends in our error or in a valid file, never in another error", () => {
    fc.assert(
      fc.property(fc.nat(json.byteLength + 7), fc.nat(255), (at, value) => {
        const bytes = fileOf(good, 11);
        bytes[at] = value;
        try {
          parseSafetensors(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("files", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "safetensors-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("a saved file holds the encoded bytes and gives its tensors back one by one", async () => {
    const tensors = new Map<string, TensorData>([
      ["w", float32([2, 2], [1, 2, 3, 4])],
      ["mask", bool([3], [1, 0, 1])],
    ]);
    const path = join(folder, "new", "model.safetensors");
    await saveSafetensors(path, tensors, { format: "pt" });
    expect(new Uint8Array(await readFile(path))).toEqual(
      encodeSafetensors(tensors, { format: "pt" }),
    );
    const file = await openSafetensors(path);
    expect(file.metadata).toEqual({ format: "pt" });
    for (const [name, tensor] of tensors) expect(await file.readTensor(name)).toEqual(tensor);
    await expect(file.readTensor("v")).rejects.toThrow(/unknown name "v"/);
  });

  test("a failed write leaves the old file and nothing else", async () => {
    const path = join(folder, "atomic", "model.safetensors");
    const old = new Map([["w", float32([1], [5])]]);
    await saveSafetensors(path, old);
    const specs = [
      { name: "a", dtype: "float32" as const, shape: [1] },
      { name: "b", dtype: "float32" as const, shape: [1] },
    ];
    const write = writeSafetensors(path, specs, (name) => {
      if (name === "b") throw new Error("disk full");
      return float32([1], [1]);
    });
    await expect(write).rejects.toThrow("disk full");
    const wrong = writeSafetensors(path, specs, () => float32([2], [1, 2]));
    await expect(wrong).rejects.toThrow(ShapeError);
    expect(await readdir(join(folder, "atomic"))).toEqual(["model.safetensors"]);
    expect(new Uint8Array(await readFile(path))).toEqual(encodeSafetensors(old));
  });

  test("a file cut off after it was opened is an error, not zeros", async () => {
    const path = join(folder, "cut.safetensors");
    await saveSafetensors(path, new Map([["w", float32([100], new Float32Array(100))]]));
    const file = await openSafetensors(path);
    await truncate(path, 200);
    await expect(file.readTensor("w")).rejects.toThrow(/truncated while in use/);
    await expect(openSafetensors(path)).rejects.toThrow(SafetensorsError);
  });

  test("a pickle is recognised as something else", async () => {
    const path = join(folder, "pytorch_model.safetensors");
    await writeFile(path, Buffer.from("PK\u0003\u0004aaaaaaaaaaaaaaaaaaaaaaaaa"));
    await expect(openSafetensors(path)).rejects.toThrow(/no safetensors file/);
  });
});
