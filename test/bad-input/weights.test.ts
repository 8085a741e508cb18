import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  ModelNotFoundError,
  NonFiniteError,
  type SaccadeError,
  SafetensorsError,
  WeightsMismatchError,
} from "../../src/errors.js";
import { loadModel, verifyFolder } from "../../src/node.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { saveSafetensors } from "../../src/weights/safetensors-file.node.js";
import { narrowToFloat16, widenTensor } from "../../src/weights/widen.js";
import { ask } from "../support/questions.js";
import { useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
const load = (folder: string) => loadModel(folder, { threads: 1, offline: true });

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

/** The same file with another header; offsets still count from the header's end. */
const withHeader = (bytes: Uint8Array, change: (header: Header) => void): Uint8Array => {
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Header;
  change(header);
  return joined(new TextEncoder().encode(JSON.stringify(header)), bytes.subarray(8 + length));
};
const joined = (header: Uint8Array, data: Uint8Array): Uint8Array => {
  const file = new Uint8Array(8 + header.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  file.set(data, 8 + header.length);
  return file;
};
const withLength = (bytes: Uint8Array, length: bigint): Uint8Array => {
  const copy = bytes.slice();
  new DataView(copy.buffer).setBigUint64(0, length, true);
  return copy;
};
const norm = "model.norm.weight";
const head = "lm_head.weight";

const corruptions: readonly (readonly [
  what: string,
  error: new (...parameters: never[]) => SaccadeError,
  message: RegExp,
  corrupt: (bytes: Uint8Array) => Uint8Array,
])[] = [
  ["empty", SafetensorsError, /got 0/, () => new Uint8Array(0)],
  ["cut within the header", SafetensorsError, /model\.safetensors/, (b) => b.subarray(0, 100)],
  ["cut within the data", SafetensorsError, /fetch|truncated|Fetch/, (b) => b.subarray(0, -64)],
  [
    "with bytes too many",
    SafetensorsError,
    /model\.safetensors/,
    (b) => joined(new TextEncoder().encode("{}"), b),
  ],
  [
    "with a header longer than the file",
    SafetensorsError,
    /header/,
    (b) => withLength(b, 1n << 40n),
  ],
  ["with a header length of nothing", SafetensorsError, /header/, (b) => withLength(b, 0n)],
  [
    "with a header that is no JSON",
    SafetensorsError,
    /JSON/,
    (b) => {
      const c = b.slice();
      c[8] = 0x7b;
      c[9] = 0x7b;
      return c;
    },
  ],
  [
    "with overlapping tensors",
    SafetensorsError,
    /data_offsets|overlap|bytes/,
    (b) =>
      withHeader(b, (h) => {
        h[norm].data_offsets = [...h["model.layers.0.input_layernorm.weight"].data_offsets];
      }),
  ],
  [
    "with offsets beyond its end",
    SafetensorsError,
    /model\.safetensors/,
    (b) =>
      withHeader(b, (h) => {
        h[norm].data_offsets = [1e9, 1e9 + 192];
      }),
  ],
  [
    "with offsets that do not fit the shape",
    SafetensorsError,
    /bytes/,
    (b) =>
      withHeader(b, (h) => {
        h[norm].shape = [47];
      }),
  ],
  [
    "of an unknown type",
    SafetensorsError,
    /F99/,
    (b) =>
      withHeader(b, (h) => {
        h[norm].dtype = "F99";
      }),
  ],
  [
    "of a type that is no weight",
    WeightsMismatchError,
    /must be float32, float16, bfloat16, got model\.norm\.weight \(int32\)/,
    (b) =>
      withHeader(b, (h) => {
        h[norm].dtype = "I32";
      }),
  ],
  [
    "with a transposed tensor",
    WeightsMismatchError,
    /lm_head\.weight \(expected \[320,48\], got \[48,320\]\)/,
    (b) =>
      withHeader(b, (h) => {
        h[head].shape = [48, 320];
      }),
  ],
  [
    "with a renamed tensor",
    WeightsMismatchError,
    /missing \(1\): model\.norm\.weight\s+unexpected \(1\): model\.nrom\.weight/,
    (b) =>
      withHeader(b, (h) => {
        h["model.nrom.weight"] = h[norm];
        delete h[norm];
      }),
  ],
];

describe("a weight file", () => {
  test.each(corruptions)(
    "%s is refused, and nothing is written",
    async (_, kind, message, corrupt) => {
      const folder = await folders.write("mini-1");
      const path = join(folder, "model.safetensors");
      const corrupted = corrupt(new Uint8Array(await readFile(path)));
      await writeFile(path, corrupted);
      // What a recorded run would be compared with comes after the weights.
      await saveSafetensors(join(folder, "io.safetensors"), new Map([["x", float32([1], [1])]]));
      const before = await readdir(folder, { recursive: true });
      for (const refuse of [load, verifyFolder]) {
        await expect(refuse(folder)).rejects.toThrow(kind);
        await expect(refuse(folder)).rejects.toThrow(message);
      }
      expect(await readdir(folder, { recursive: true })).toEqual(before);
      expect(new Uint8Array(await readFile(path))).toEqual(corrupted);
    },
  );

  test("that is missing is said to be missing", async () => {
    const folder = await folders.write("llava-pad");
    await rm(join(folder, "model.safetensors"));
    await expect(load(folder)).rejects.toThrow(ModelNotFoundError);
    await expect(load(folder)).rejects.toThrow(/safetensors/);
  });

  test("in PyTorch's own format is refused with the way out", async () => {
    const folder = await folders.write("llava-pad");
    await rm(join(folder, "model.safetensors"));
    await writeFile(join(folder, "pytorch_model.bin"), "anything");
    await expect(load(folder)).rejects.toThrow(ModelNotFoundError);
    await expect(load(folder)).rejects.toThrow(/safetensors/);
  });

  test("of half precision answers like the rounded weights in full precision", async () => {
    const half = (tensors: Map<string, TensorData>, full: boolean) => {
      for (const [name, { shape, data }] of tensors) {
        const bits = narrowToFloat16(data as Float32Array);
        const tensor: TensorData = { dtype: "float16", shape, data: bits };
        tensors.set(name, full ? widenTensor(tensor) : tensor);
      }
    };
    const answers = [];
    for (const full of [false, true]) {
      const model = await load(await folders.write("llava-next", (tensors) => half(tensors, full)));
      answers.push((await model.answer(ask("What?", { imageSeed: 1 }))).ids);
      await model.close();
    }
    expect(answers[0]).toEqual(answers[1]);
  });
});

describe("a weight that is not a number", () => {
  const broken: readonly (readonly [string, number])[] = [
    ["model.layers.1.mlp.down_proj.weight", Number.NaN],
    ["model.mm_projector.2.bias", Number.NaN],
    [
      "model.vision_tower.vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight",
      Number.POSITIVE_INFINITY,
    ],
    ["lm_head.weight", Number.NEGATIVE_INFINITY],
  ];

  test.each(broken)("is named when an answer needs %s", async (name, value) => {
    const folder = await folders.write("llava-pad", (tensors) => {
      (tensors.get(name)?.data as Float32Array)[3] = value;
    });
    const model = await load(folder);
    const asked = ask("What?", { imageSeed: 1 });
    for (const refuse of [() => model.answer(asked), () => model.answerBatch([asked])]) {
      await expect(refuse()).rejects.toThrow(NonFiniteError);
      await expect(refuse()).rejects.toThrow(`the weight "${name}"`);
      await expect(refuse()).rejects.toThrow("fetch or convert the model again");
    }
    await model.close();
  });

  test("of half precision is named as well", async () => {
    const folder = await folders.write("mini-1", (tensors) => {
      for (const [name, { shape, data }] of tensors) {
        const bits = narrowToFloat16(data as Float32Array);
        if (name === "model.norm.weight") bits[5] = 0x7e00;
        tensors.set(name, { dtype: "float16", shape, data: bits });
      }
    });
    const model = await load(folder);
    await expect(model.answer(ask("What?"))).rejects.toThrow(/the weight "model\.norm\.weight"/);
    await model.close();
  });

  test("does not matter to answers that do not need it", async () => {
    const folder = await folders.write("llava-pad", (tensors) => {
      (tensors.get("model.mm_projector.2.bias")?.data as Float32Array)[3] = Number.NaN;
    });
    const model = await load(folder);
    await expect(model.answer(ask("What?", { imageSeed: 1 }))).rejects.toThrow(NonFiniteError);
    expect((await model.answer(ask("What?"))).ids.length).toBeGreaterThan(0);
    await model.close();
  });
});
