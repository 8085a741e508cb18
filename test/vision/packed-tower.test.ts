import { describe, expect, test } from "vitest";
import { ModelConfigError, OptionsError } from "../../src/errors.js";
import { input } from "../../src/graph/index.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import {
  clipHiddenState,
  clipParams,
  dropClassToken,
  parseClipConfig,
} from "../../src/vision/clip.js";
import { moonvitNames, parseMoonvitConfig } from "../../src/vision/moonvit.js";
import { type PatchStrip, packPatches } from "../../src/vision/pack-patches.js";
import { parsePackedClipConfig } from "../../src/vision/packed-clip.js";
import {
  type PackedTowerConfig,
  packedEmbedding,
  packedLayer,
  packedOutput,
  packedTowerInput,
  packedTowerParams,
} from "../../src/vision/packed-tower.js";
import { parseSiglipConfig } from "../../src/vision/siglip.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors, readTensor } from "../../src/weights/safetensors-file.node.js";
import { drawParameters } from "../support/drawn-parameters.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { stripOf } from "../support/patch-strips.js";
import { fixturePath } from "../support/recorded-preprocessing.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();
const shape = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  patch_size: 14,
};
const towers: Record<string, PackedTowerConfig> = {
  siglip: parseSiglipConfig({ ...shape, image_size: 140 }),
  moonvit: parseMoonvitConfig({ ...shape, init_pos_emb_height: 5, init_pos_emb_width: 6 }),
  clip: parsePackedClipConfig({ ...shape, num_hidden_layers: 3, image_size: 56 }),
};
const config = (name: string): PackedTowerConfig => towers[name];

/** Features of all views, in the order of the packed rows. */
const encode = async (
  tower: PackedTowerConfig,
  strips: readonly PatchStrip[],
  weights: ReadonlyMap<string, TensorData>,
) => {
  const { feeds, groups, views } = packPatches(strips, tower, 0);
  const params = packedTowerParams(new ParameterScope(), tower);
  let x = packedEmbedding(params, packedTowerInput(tower, groups, 1), tower);
  const embeddings = x.tokens;
  for (let index = 0; index < tower.numUsedLayers; index += 1) {
    x = packedLayer(params.layers[index], x, tower);
  }
  const results = await runner.compute(
    { embeddings, output: packedOutput(params, x, tower).tokens },
    feeds,
    weights,
  );
  const rows = ({ firstToken, numTokens }: (typeof views)[number]): TensorData => {
    const data = results.output.data.slice(firstToken * 32, (firstToken + numTokens) * 32);
    return float32([numTokens, 32], data as Float32Array);
  };
  return { ...results, views: views.map(rows) };
};

const random = randomTensors(3);
const image = (rows: number, columns: number) => random([3, rows * 14, columns * 14]);

describe("views packed into one row", () => {
  const images = [image(4, 6), image(2, 2), image(6, 4), image(4, 6), image(8, 2)];
  test.each(Object.keys(towers))("of %s are encoded as each view alone", async (name) => {
    const tower = config(name);
    const weights = drawParameters(packedTowerParams(new ParameterScope(), tower), 5);
    const strips = images.map((view) => stripOf(view, 14));
    const packed = await encode(tower, strips, weights);
    for (const [index, strip] of strips.entries()) {
      const alone = await encode(tower, [strip], weights);
      expectClose(packed.views[index], alone.views[0], 2e-6);
    }
  });

  test("do not feel what is in another view", async () => {
    const tower = config("moonvit");
    const weights = drawParameters(packedTowerParams(new ParameterScope(), tower), 5);
    const [first, second] = [stripOf(image(4, 4), 14), stripOf(image(4, 4), 14)];
    const one = await encode(tower, [first, second], weights);
    const other = await encode(tower, [first, stripOf(image(4, 4), 14)], weights);
    expect(other.views[0].data).toEqual(one.views[0].data);
    expect(other.views[1].data).not.toEqual(one.views[1].data);
  });
});

describe("the encoders", () => {
  test("CLIP at the size it was trained with is CLIP", async () => {
    const tower = config("clip");
    const weights = drawParameters(packedTowerParams(new ParameterScope(), tower), 7);
    const view = image(4, 4);
    const { views } = await encode(tower, [stripOf(view, 14)], weights);
    const clip = parseClipConfig({ ...shape, num_hidden_layers: 3, image_size: 56 });
    const pixels = input("pixels", "float32", [1, 3, 56, 56]);
    const params = clipParams(new ParameterScope(), clip);
    const { features } = await runner.compute(
      { features: dropClassToken(clipHiddenState(params, pixels, clip, -2)) },
      { pixels: float32([1, 3, 56, 56], view.data) },
      weights,
    );
    expectClose(views[0], { shape: [16, 32], data: Array.from(features.data, Number) }, 2e-6);
  });

  test("MoonViT reproduces a recorded one at native resolution", async () => {
    const read = async (file: string): Promise<Map<string, TensorData>> => {
      const path = fixturePath(`moonvit/${file}`);
      const { tensors } = await openSafetensors(path);
      const entries = [...tensors].map(async ([name, entry]) => {
        return [name, await readTensor(path, entry)] as const;
      });
      return new Map(await Promise.all(entries));
    };
    const [stored, recorded] = [await read("model.safetensors"), await read("io.safetensors")];
    const names = createRenameTable(moonvitNames);
    const weights = new Map(
      [...stored].map(([name, value]) => [names.toInternal(name) ?? name, value]),
    );
    const tower = parseMoonvitConfig({
      ...shape,
      intermediate_size: 56,
      num_hidden_layers: 3,
      init_pos_emb_height: 6,
      init_pos_emb_width: 6,
    });
    const strips = [0, 1, 2].map((view) =>
      stripOf(recorded.get(`view.${view}.image`) as TensorData<"float32">, 14),
    );
    const { views } = await encode(tower, strips, weights);
    for (const view of [0, 1, 2]) {
      expectClose(views[view], recorded.get(`view.${view}.output`) as TensorData, 1e-5);
    }
  });

  test("SigLIP's defaults are those of so400m with the 70 x 70 table", () => {
    expect(parseSiglipConfig({})).toMatchObject({
      width: 1152,
      mlpWidth: 4304,
      numLayers: 27,
      numHeads: 16,
      positions: { table: { rows: 70, columns: 70 } },
    });
  });

  test("configs that cannot be are refused", () => {
    expect(() => parseSiglipConfig({ hidden_size: 30, num_attention_heads: 4 })).toThrow(
      ModelConfigError,
    );
    expect(() => parseMoonvitConfig({ hidden_size: 24, num_attention_heads: 4 })).toThrow(
      ModelConfigError,
    );
    expect(() => parsePackedClipConfig({ ...shape, image_size: 56 }, -9)).toThrow(ModelConfigError);
  });

  test("views that are no whole patches, or do not merge, are refused", () => {
    const tower = config("siglip");
    const strip = stripOf(image(2, 3), 14);
    expect(() => packPatches([strip], tower, 1)).toThrow(OptionsError);
    expect(() => packPatches([{ ...strip, grids: [{ rows: 3, columns: 3 }] }], tower, 0)).toThrow(
      OptionsError,
    );
  });
});
