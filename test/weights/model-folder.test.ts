import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  ModelConfigError,
  ModelNotFoundError,
  SafetensorsError,
  TokenizerError,
  WeightsMismatchError,
} from "../../src/errors.js";
import { float32 } from "../../src/tensor-data.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { encodeSafetensors } from "../../src/weights/safetensors-encoding.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "model-folder-"));
});
afterEach(() => rm(folder, { recursive: true }));

const write = async (files: Record<string, unknown>): Promise<string> => {
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    const plain = typeof content === "string" || content instanceof Uint8Array;
    await writeFile(path, plain ? content : JSON.stringify(content));
  }
  return folder;
};
const weights = (...names: string[]): Uint8Array =>
  encodeSafetensors(new Map(names.map((name, at) => [name, float32([1], [at])])));
const config = { model_type: "llava_mini_llama" };

describe("a local folder", () => {
  test("exposes its settings and reads its tensors", async () => {
    const model = await openModelFolder(
      await write({
        "config.json": config,
        "generation_config.json": { eos_token_id: [1, 2] },
        "preprocessor_config.json": { crop_size: 336 },
        "tokenizer.json": { model: {} },
        "special_tokens_map.json": { bos_token: "<s>" },
        "model.safetensors": weights("a", "b"),
        "vision_tower/config.json": { hidden_size: 8 },
        "vision_tower/preprocessor_config.json": { size: 4 },
      }),
    );
    expect(model.config).toEqual(config);
    expect(model.generationConfig).toEqual({ eos_token_id: [1, 2] });
    expect(model.preprocessorConfig).toEqual({ crop_size: 336 });
    expect(model.tokenizerConfig).toBeUndefined();
    expect(await model.readTokenizerJson()).toEqual({ model: {} });
    expect([...model.tensors.keys()]).toEqual(["a", "b"]);
    expect(await model.readTensor("b")).toEqual(float32([1], [1]));
    await expect(model.readTensor("c")).rejects.toThrow(WeightsMismatchError);
    const tower = await model.subfolder("vision_tower");
    expect(tower?.config).toEqual({ hidden_size: 8 });
    expect(tower?.preprocessorConfig).toEqual({ size: 4 });
    expect(tower?.tensors.size).toBe(0);
    expect(await model.subfolder("other")).toBeUndefined();
    await expect(model.subfolder("../x")).rejects.toThrow(/plain folder name/);
  });

  test("joins shards along their index", async () => {
    const model = await openModelFolder(
      await write({
        "config.json": config,
        "model-1.safetensors": weights("a", "b"),
        "model-2.safetensors": weights("c"),
        "model.safetensors.index.json": {
          weight_map: {
            a: "model-1.safetensors",
            b: "model-1.safetensors",
            c: "model-2.safetensors",
          },
        },
      }),
    );
    expect([...model.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
    expect(model.tensors.get("c")?.file).toBe(join(folder, "model-2.safetensors"));
    expect(await model.readTensor("c")).toEqual(float32([1], [0]));
  });

  const template = (source: string) => ({ chat_template: source });
  const places: [string, Record<string, unknown>, string | undefined][] = [
    [
      "chat_template.jinja first",
      { "chat_template.jinja": "A", "chat_template.json": template("B") },
      "A",
    ],
    [
      "chat_template.json second",
      { "chat_template.json": template("B"), "processor_config.json": template("C") },
      "B",
    ],
    [
      "processor_config.json third",
      { "processor_config.json": template("C"), "tokenizer_config.json": template("D") },
      "C",
    ],
    ["tokenizer_config.json last", { "tokenizer_config.json": template("D") }, "D"],
    [
      "the default of a list of named ones",
      {
        "tokenizer_config.json": {
          chat_template: [
            { name: "tool", template: "T" },
            { name: "default", template: "E" },
          ],
        },
      },
      "E",
    ],
    ["none", { "tokenizer_config.json": {} }, undefined],
  ];
  test.each(places)("finds the chat template: %s", async (_, files, expected) => {
    await write({ "config.json": config, "model.safetensors": weights("a"), ...files });
    expect((await openModelFolder(folder)).chatTemplate).toBe(expected);
  });
});

type Refusal = [
  name: string,
  files: Record<string, unknown>,
  error: new (...args: never[]) => Error,
  message: RegExp,
];
describe("a folder that is no model is refused with the way out", () => {
  const indexOf = (weight_map: unknown) => ({
    "config.json": config,
    "model.safetensors.index.json": { weight_map },
  });
  const cases: Refusal[] = [
    [
      "no config",
      { "model.safetensors": weights("a") },
      ModelConfigError,
      /config\.json, got none/,
    ],
    ["config of no JSON", { "config.json": "{" }, ModelConfigError, /must hold JSON/],
    ["config of a list", { "config.json": [] }, ModelConfigError, /JSON object/],
    ["no weights", { "config.json": config }, ModelNotFoundError, /model\.safetensors or/],
    [
      "pickles only",
      { "config.json": config, "pytorch_model.bin": "x" },
      ModelNotFoundError,
      /got only pytorch_model\.bin .*safe_serialization=True/s,
    ],
    [
      "shards without an index",
      { "config.json": config, "model-1.safetensors": weights("a") },
      ModelNotFoundError,
      /without an index/,
    ],
    [
      "a missing shard",
      { ...indexOf({ a: "m1.safetensors", b: "m2.safetensors" }), "m1.safetensors": weights("a") },
      WeightsMismatchError,
      /missing \(1\): m2\.safetensors/,
    ],
    [
      "an index that names absent tensors",
      { ...indexOf({ a: "m1.safetensors", z: "m1.safetensors" }), "m1.safetensors": weights("a") },
      WeightsMismatchError,
      /missing \(1\): z \(should be in m1/,
    ],
    [
      "tensors absent from the index",
      { ...indexOf({ a: "m1.safetensors" }), "m1.safetensors": weights("a", "b") },
      WeightsMismatchError,
      /not in the index \(1\): b \(in m1/,
    ],
    ["an index without a map", indexOf(undefined), ModelConfigError, /weight_map/],
    [
      "an index that leaves the folder",
      indexOf({ a: "../m.safetensors" }),
      ModelConfigError,
      /same folder/,
    ],
    [
      "corrupt weights",
      { "config.json": config, "model.safetensors": weights("a").slice(0, -1) },
      SafetensorsError,
      /truncated/,
    ],
    [
      "a chat template of numbers",
      {
        "config.json": config,
        "model.safetensors": weights("a"),
        "chat_template.json": { chat_template: 3 },
      },
      ModelConfigError,
      /chat_template in/,
    ],
  ];
  test.each(cases)("%s", async (_, files, error, message) => {
    await write(files);
    await expect(openModelFolder(folder)).rejects.toThrow(error);
    await expect(openModelFolder(folder)).rejects.toThrow(message);
  });

  test("a file, and a path that is nothing", async () => {
    await write({ "config.json": config });
    await expect(openModelFolder(join(folder, "config.json"))).rejects.toThrow(/must be a folder/);
    await expect(openModelFolder(join(folder, "none"))).rejects.toThrow(ModelNotFoundError);
    await expect(openModelFolder("./org/name")).rejects.toThrow(ModelNotFoundError);
  });

  test("a missing tokenizer is only an error when it is read", async () => {
    await write({ "config.json": config, "model.safetensors": weights("a") });
    const model = await openModelFolder(folder);
    await expect(model.readTokenizerJson()).rejects.toThrow(TokenizerError);
  });
});
