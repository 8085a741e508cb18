import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compressorAttention, fusionAttention } from "../../src/analyze/llava-mini-attention.js";
import { OptionsError, PromptError } from "../../src/errors.js";
import { loadModel, type VisionLanguageModel } from "../../src/node.js";
import { float32, type TensorData } from "../../src/tensor-data.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { readRecorded } from "../../src/verify/verify-folder.node.js";
import { copyModel, fixture, temporaryFolder } from "../support/cli.js";
import { ask } from "../support/questions.js";
import { useModelFolders } from "../support/tiny-models.js";

const scratch = temporaryFolder();
const folders = useModelFolders();
let recorded: ReadonlyMap<string, TensorData>;
let model: VisionLanguageModel;
beforeAll(async () => {
  recorded = await readRecorded(fixture("llava-mini-image-c1"));
  model = await loadModel(copyModel(scratch.path), { threads: 1 });
});
afterAll(async () => {
  await model.close();
  scratch.remove();
});

const sample = (name: string, index: number): TensorData<"float32"> => {
  const { data, shape } = recorded.get(name) as TensorData<"float32">;
  const size = data.length / shape[0];
  return float32(shape.slice(1), data.subarray(index * size, (index + 1) * size));
};
const plan = { image: { width: 42, height: 42 }, views: [], grid: { columns: 0, rows: 0 } };
const viewsOf = (index: number) => ({
  pixels: sample("pixel_values", index),
  plan,
  key: `${index}`,
});

describe("the compressor's attention", () => {
  it.each([0, 1])("equals the recorded one (sample %s)", async (index) => {
    const { mean, heads, patches } = await compressorAttention(model, viewsOf(index));
    const expected = Array.from(sample("compressor.attn_weights", index).data);
    expect(mean).toHaveLength(1);
    mean[0].forEach((value, patch) => {
      expect(value).toBeCloseTo(expected[patch], 5);
    });
    expect(heads[0]).toHaveLength(8);
    heads[0].forEach((row) => {
      expect(row.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 5);
    });
    mean[0].forEach((value, patch) => {
      const over = heads[0].reduce((sum, row) => sum + row[patch], 0) / 8;
      expect(value).toBeCloseTo(over, 6);
    });
    expect(patches.map(({ cell }) => (cell?.row ?? 0) * 6 + (cell?.column ?? 0))).toEqual(
      Array.from({ length: 36 }, (_, place) => place),
    );
  });
});

describe("attention in pre-fusion", () => {
  it("of every fused token adds up to 1 over patches, compressed tokens and text", async () => {
    const rows = Array.from(recorded.get("input_ids")?.data ?? [], Number);
    const ids = rows.slice(0, 21);
    const media = [{ kind: "image", views: viewsOf(0) }] as const;
    const isAnswer = ids.map(() => false);
    const fusion = await fusionAttention(model, { ids, isAnswer, media });
    expect(fusion.toPatches).toHaveLength(2);
    // The placeholder and the genuine token 0 are left out, as in the released code.
    const kept = ids.flatMap((id, place) => (id > 0 ? [place] : []));
    expect(fusion.places).toEqual(kept);
    fusion.toPatches.forEach((rows, layer) => {
      rows.forEach((row, at) => {
        const patches = row.reduce((sum, value) => sum + value, 0);
        const total = patches + fusion.toCompressed[layer][at] + fusion.toText[layer][at];
        expect(total).toBeCloseTo(1, 5);
        expect(patches).toBeGreaterThan(0);
      });
    });
  });

  it("of sub-images knows the view and cell of each patch", async () => {
    const hd = await loadModel(await folders.write("mini-hd"), { threads: 1 });
    const request = ask("What?", { imageSeed: 2, width: 64, height: 48 });
    const encoded = await hd.encode(request);
    const [item] = encoded.media;
    const views = item.kind === "image" ? item.views : viewsOf(0);
    const { patches, toPatches } = await fusionAttention(hd, encoded);
    const compressor = await compressorAttention(hd, views);
    await hd.close();
    // Five views of 4 x 4 patches; the compressor does not read the whole image.
    expect(patches).toHaveLength(80);
    expect(toPatches[0][0]).toHaveLength(80);
    expect(compressor.patches).toEqual(patches.slice(0, 64));
    expect(new Set(compressor.patches.map(({ view }) => view))).toEqual(new Set([0, 1, 2, 3]));
    // The raster's fifth patch is the first of the second sub-image.
    expect(patches[4]).toEqual({
      view: 1,
      cell: { grid: { rows: 4, columns: 4 }, row: 0, column: 0 },
    });
    const cells = patches.map(({ view, cell }) => `${view} ${cell?.row} ${cell?.column}`);
    expect(new Set(cells).size).toBe(80);
  });

  it("is refused without an image, and for other systems", async () => {
    const nothing = { ids: [3, 4], isAnswer: [false, false], media: [] };
    await expect(fusionAttention(model, nothing)).rejects.toThrow(PromptError);
    const llava = await loadModel(await folders.write("llava-pad"), { threads: 1 });
    const media = [{ kind: "image", views: viewsOf(0) }] as const;
    const asked = { ids: [imagePlaceholderId], isAnswer: [false], media };
    await expect(fusionAttention(llava, asked)).rejects.toThrow(OptionsError);
    await expect(compressorAttention(llava, viewsOf(0))).rejects.toThrow(/got a llava/);
    await llava.close();
  });
});
