import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  ModelConfigError,
  ModelNotFoundError,
  OfflineError,
  OptionsError,
  SafetensorsError,
  ShapeError,
  TokenizerError,
  UnknownArchitectureError,
  WeightsMismatchError,
} from "../../src/errors.js";
import { type LoadModelOptions, loadModel, verifyFolder } from "../../src/node.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { openSafetensors, saveSafetensors } from "../../src/weights/safetensors-file.node.js";
import { fixturePath } from "../support/recorded-preprocessing.js";
import { type TinyModelName, useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
type Json = Record<string, unknown>;

/** Loads a tiny model whose settings were changed. */
const loadChanged = async (
  name: TinyModelName,
  change: (config: Json) => void,
  { file = "config.json", options = {} as LoadModelOptions } = {},
) => {
  const folder = await folders.write(name);
  const path = join(folder, file);
  const json = JSON.parse(await readFile(path, "utf8")) as Json;
  change(json);
  await writeFile(path, JSON.stringify(json));
  return loadModel(folder, { threads: 1, offline: true, ...options });
};

describe("config and weights that disagree are refused, both kinds of difference listed", () => {
  test.each<[string, TinyModelName, (config: Json) => void, RegExp]>([
    [
      "another width",
      "llava-pad",
      (c) => {
        c.hidden_size = 64;
      },
      /model\.embed_tokens\.weight \(expected \[320,64\], got \[320,48\]\)/,
    ],
    [
      "more layers",
      "llava-pad",
      (c) => {
        c.num_hidden_layers = 3;
      },
      /9 missing.*model\.layers\.2/s,
    ],
    [
      "fewer layers",
      "mini-2",
      (c) => {
        c.num_hidden_layers = 1;
      },
      /9 unexpected.*model\.layers\.1/s,
    ],
    [
      "another vocabulary",
      "llava-hf",
      (c) => {
        (c.text_config as Json).vocab_size = 400;
      },
      /expected \[400,48\]/,
    ],
    [
      "no newline",
      "llava-pad",
      (c) => {
        c.mm_patch_merge_type = "spatial_unpad";
      },
      /missing \(1\): model\.image_newline/,
    ],
    [
      "another compressor",
      "mini-1",
      (c) => {
        c.compressor_size = 2;
      },
      /model\.compressor\.query \(expected \[4,32\], got \[1,32\]\)/,
    ],
    [
      "another projector",
      "llava-pad",
      (c) => {
        c.mm_projector_type = "linear";
      },
      /model\.mm_projector/,
    ],
    [
      "biases",
      "llava-pad",
      (c) => {
        c.attention_bias = true;
      },
      /8 missing.*q_proj\.bias/s,
    ],
  ])("%s", async (_, name, change, message) => {
    const loaded = loadChanged(name, change);
    await expect(loaded).rejects.toThrow(WeightsMismatchError);
    await expect(loaded).rejects.toThrow(message);
    await expect(loaded).rejects.toThrow("Check that config.json belongs to these weights");
  });
});

describe("settings are refused", () => {
  test.each<[string, TinyModelName, (config: Json) => void, RegExp]>([
    [
      "heads that do not divide the width",
      "llava-pad",
      (c) => {
        c.num_attention_heads = 5;
      },
      /heads must divide the width evenly, got hidden_size 48/,
    ],
    [
      "no width",
      "llava-pad",
      (c) => {
        delete c.hidden_size;
      },
      /hidden_size/,
    ],
    [
      "a width that is text",
      "mini-1",
      (c) => {
        c.hidden_size = "48";
      },
      /hidden_size/,
    ],
    [
      "an unknown rope scaling",
      "llava-pad",
      (c) => {
        c.rope_scaling = { rope_type: "yarn", factor: 2 };
      },
      /rope_scaling must be null, default, linear or llama3/,
    ],
    [
      "an unknown projector",
      "llava-pad",
      (c) => {
        c.mm_projector_type = "resampler";
      },
      /must be linear or mlp\{n\}x_gelu, got "resampler"/,
    ],
    [
      "an unknown aspect ratio",
      "llava-pad",
      (c) => {
        c.image_aspect_ratio = "highres";
      },
      /square, pad or anyres, got "highres"/,
    ],
    [
      "tiles without pinpoints",
      "llava-next",
      (c) => {
        delete c.image_grid_pinpoints;
      },
      /image_grid_pinpoints/,
    ],
    [
      "a layer that the tower has not got",
      "llava-pad",
      (c) => {
        c.mm_vision_select_layer = -7;
      },
      /check mm_vision_select_layer/,
    ],
  ])("%s", async (_, name, change, message) => {
    const asked = loadChanged(name, change).then(async (model) => {
      // Whatever only shows with an image must show then.
      const { ask } = await import("../support/questions.js");
      await model.answer(ask("What?", { imageSeed: 1 })).finally(() => model.close());
    });
    await expect(asked).rejects.toThrow(ModelConfigError);
    await expect(asked).rejects.toThrow(message);
  });

  test("that are no JSON, or missing", async () => {
    const folder = await folders.write("llava-pad");
    await writeFile(join(folder, "config.json"), '{"hidden_size": 48,');
    await expect(loadModel(folder)).rejects.toThrow(ModelConfigError);
    await rm(join(folder, "config.json"));
    await expect(loadModel(folder)).rejects.toThrow(/must hold config\.json, got none/);
    await expect(verifyFolder(folder)).rejects.toThrow(ModelConfigError);
  });

  test("of a vision tower that is not described", async () => {
    const folder = await folders.write("llava-pad");
    await rm(join(folder, "vision_tower"), { recursive: true });
    const path = join(folder, "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as Json;
    await writeFile(path, JSON.stringify({ ...config, mm_vision_tower: "someone/eyes" }));
    const loaded = loadModel(folder, { offline: true });
    await expect(loaded).rejects.toThrow(ModelConfigError);
    await expect(loaded).rejects.toThrow(
      /put its config\.json and preprocessor_config\.json into .* vision_tower\//,
    );
  });

  test("of a processor that makes views of another size", async () => {
    const loaded = loadChanged(
      "llava-pad",
      (c) => {
        c.crop_size = 56;
      },
      {
        file: "vision_tower/preprocessor_config.json",
      },
    );
    await expect(loaded).rejects.toThrow(ModelConfigError);
    await expect(loaded).rejects.toThrow(
      /views of 28 px, .* got 56x56; check preprocessor_config\.json/,
    );
  });
});

describe("an architecture that we have not got is named", () => {
  test.each(["bert", "qwen2_vl", ""])("model_type %j", async (modelType) => {
    const loaded = loadChanged("llava-pad", (config) => {
      config.model_type = modelType;
      config.architectures = ["SomethingElse"];
    });
    await expect(loaded).rejects.toThrow(UnknownArchitectureError);
    await expect(loaded).rejects.toThrow(`got ${JSON.stringify(modelType)} (SomethingElse)`);
  });

  test("in verification as well", async () => {
    const folder = await folders.write("llava-pad");
    await saveSafetensors(join(folder, "io.safetensors"), new Map([["x", float32([1], [1])]]));
    const path = join(folder, "config.json");
    const config = JSON.parse(await readFile(path, "utf8")) as Json;
    await writeFile(path, JSON.stringify({ ...config, architectures: ["SomethingElse"] }));
    await expect(verifyFolder(folder)).rejects.toThrow(UnknownArchitectureError);
    await expect(verifyFolder(folder)).rejects.toThrow(/must be one of .*LlavaLlamaForCausalLM/);
  });
});

describe("tokenizers", () => {
  test("that are missing or belong to another model are refused", async () => {
    const folder = await folders.write("llava-pad");
    await rm(join(folder, "tokenizer.json"));
    await expect(loadModel(folder)).rejects.toThrow(TokenizerError);
    await writeFile(join(folder, "tokenizer.json"), "{}");
    await expect(loadModel(folder)).rejects.toThrow(TokenizerError);
  });

  test("with more tokens than the model knows are refused", async () => {
    const small = await folders.write({
      config: {
        ...(await import("../support/tiny-models.js")).tinyModels["llava-pad"].config,
        vocab_size: 300,
      },
    });
    const loaded = loadModel(small);
    await expect(loaded).rejects.toThrow(TokenizerError);
    await expect(loaded).rejects.toThrow(/tokenizer has 313 tokens and the model 300/);
  });
});

describe("places that hold no model", () => {
  test("are said to be none", async () => {
    const folder = await folders.write("llava-pad");
    await expect(loadModel(join(folder, "nowhere"))).rejects.toThrow(ModelNotFoundError);
    await expect(loadModel(join(folder, "config.json"))).rejects.toThrow(
      /must be a folder, got the file/,
    );
    await expect(verifyFolder(join(folder, "nowhere"))).rejects.toThrow(ModelNotFoundError);
    const offline = loadModel("someone/model", { offline: true, cacheDir: folder });
    await expect(offline).rejects.toThrow(OfflineError);
    await expect(offline).rejects.toThrow(/Run it once online, or copy the model into a folder/);
  });
});

describe("options are refused", () => {
  test.each<[string, LoadModelOptions, new (...all: never[]) => Error]>([
    ["contextLength", { contextLength: 4096 }, ModelConfigError],
    ["contextLength", { contextLength: 0 }, ModelConfigError],
    ["prefillChunk", { prefillChunk: 0 }, OptionsError],
    ["featureCacheBytes", { featureCacheBytes: -1 }, OptionsError],
    ["threads", { threads: 0 }, OptionsError],
    ["provider", { provider: "wasm" }, OptionsError],
    ["template", { template: "gpt" as "plain" }, OptionsError],
  ])("%s", async (name, options, kind) => {
    const loaded = loadChanged("mini-1", () => {}, { options });
    await expect(loaded).rejects.toThrow(kind);
    await expect(loaded).rejects.toThrow(name);
  });
});

describe("recorded runs", () => {
  const copyOf = async (name: string): Promise<string> => {
    const folder = await folders.write("llava-pad");
    await rm(folder, { recursive: true });
    await cp(fixturePath(name), folder, { recursive: true });
    return folder;
  };

  test("that are missing or corrupt are refused", async () => {
    const folder = await copyOf("llava-15");
    const path = join(folder, "io.safetensors");
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, 1000));
    await expect(verifyFolder(folder)).rejects.toThrow(SafetensorsError);
    await rm(path);
    await expect(verifyFolder(folder)).rejects.toThrow(ModelNotFoundError);
    await expect(verifyFolder(folder)).rejects.toThrow(/must hold io\.safetensors/);
  });

  const changed = async (change: (tensors: Map<string, TensorData>) => void): Promise<string> => {
    const folder = await copyOf("llava-15");
    const path = join(folder, "io.safetensors");
    const file = await openSafetensors(path);
    const tensors = new Map<string, TensorData>();
    for (const name of file.tensors.keys()) tensors.set(name, await file.readTensor(name));
    change(tensors);
    await saveSafetensors(path, tensors);
    return folder;
  };

  test("without an input are refused by its name", async () => {
    const folder = await changed((tensors) => tensors.delete("image_sizes"));
    await expect(verifyFolder(folder)).rejects.toThrow(ModelConfigError);
    await expect(verifyFolder(folder)).rejects.toThrow(/must hold image_sizes, got none/);
  });

  test("with an input of another shape are refused with both shapes", async () => {
    const folder = await changed((tensors) =>
      tensors.set("pixel_values.0", float32([1, 3, 14, 14], new Float32Array(588))),
    );
    await expect(verifyFolder(folder)).rejects.toThrow(ShapeError);
    await expect(verifyFolder(folder)).rejects.toThrow(
      /\[V, 3, 28, 28\].*got float32\[1, 3, 14, 14\]/,
    );
  });

  test("of images with settings that are no JSON are refused", async () => {
    const folder = await copyOf("preprocess-clip");
    await writeFile(join(folder, "geometry.json"), "[1, 2");
    await expect(verifyFolder(folder)).rejects.toThrow(ModelConfigError);
    await expect(verifyFolder(folder)).rejects.toThrow(/geometry\.json/);
  });
});
