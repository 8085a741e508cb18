import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { createGraph, type Engine, grad, input, type Tensor } from "../../src/graph/index.js";
import { llamaRopeTables } from "../../src/language/llama.js";
import { locateForEngine } from "../../src/load/located-tensors.node.js";
import { locateParameters } from "../../src/load/parameter-source.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../../src/systems/judged-tokens.js";
import { llavaMiniNames, llavaMiniParams, planFusion } from "../../src/systems/llava-mini.js";
import { parseLlavaMiniConfig } from "../../src/systems/llava-mini-config.js";
import { llavaMiniForward } from "../../src/systems/llava-mini-forward.js";
import { planSplice } from "../../src/systems/splice.js";
import { int64, type TensorData } from "../../src/tensor-data.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { Trainer } from "../../src/train/train-step.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors, readTensor } from "../../src/weights/safetensors-file.node.js";

const rowsOf = ({ data, shape: [count, length] }: TensorData): number[][] => {
  const all = Array.from(data, Number);
  return Array.from({ length: count }, (_, row) => all.slice(row * length, (row + 1) * length));
};

const readAll = async (path: string): Promise<Map<string, TensorData>> => {
  const { tensors } = await openSafetensors(path);
  const read = new Map<string, TensorData>();
  for (const [name, entry] of tensors) read.set(name, await readTensor(path, entry));
  return read;
};

/** Everything of a recorded training step: the batch as feeds, the loss as a graph. */
const prepare = async (folderName: string) => {
  const path = fileURLToPath(new URL(`../fixtures/${folderName}`, import.meta.url));
  const folder = await openModelFolder(path, { offline: true });
  const tower = await folder.subfolder("vision_tower");
  const recorded = await readAll(`${path}/io.safetensors`);
  const get = (name: string): TensorData => recorded.get(name) as TensorData;
  const gradients = await readAll(`${path}/grads.safetensors`);
  const config = parseLlavaMiniConfig(folder.config, tower?.config);
  const names = createRenameTable(llavaMiniNames(config));
  const frozen = locateParameters(
    llavaMiniParams(new ParameterScope(), config),
    await locateForEngine(folder.tensors),
    names,
  );
  const trainable = new Map(
    [...gradients.keys()].map((published) => [names.toInternal(published) ?? "", published]),
  );
  const params = llavaMiniParams(new ParameterScope([], (name) => trainable.has(name)), config);

  const [ids, labels, attention] = ["input_ids", "labels", "attention_mask"].map((name) =>
    rowsOf(get(name)),
  );
  const [batch, length] = [ids.length, ids[0].length];
  const tokens = config.compressorSide ** 2;
  const fusion = planFusion(
    ids,
    config,
    labels.map((row) => row.map((label) => label !== -100)),
  );
  const splice = planSplice(
    ids.map((row, sample) => ({
      ids: row,
      isPadding: attention[sample].map((value) => value === 0),
      visualRows: [Array.from({ length: tokens }, (_, index) => sample * tokens + index)],
    })),
    length,
    batch * tokens,
  );
  const total = splice.index.shape[1];
  const assembled = ids.map((row, sample) => {
    const kept = row.flatMap((id, place) => {
      if (attention[sample][place] === 0) return [];
      return id === imagePlaceholderId
        ? new Array<number>(tokens).fill(-100)
        : labels[sample][place];
    });
    return [...kept, ...new Array<number>(total - kept.length).fill(-100)];
  });
  const feeds: Record<string, TensorData> = {
    pixels: get("pixel_values"),
    ids: int64(
      [batch, length],
      ids.flat().map((id) => Math.max(id, 0)),
    ),
    keyMask: fusion.keyMask,
    fusionPositions: fusion.positions,
    index: splice.index,
    tokenMask: splice.mask,
    positions: int64(
      [batch, total],
      ids.flatMap(() => Array.from({ length: total }, (_, t) => t)),
    ),
    ...feedJudged(judgedOf(int64([batch, total], assembled.flat()))),
  };
  const declared = (name: string): Tensor => input(name, feeds[name].dtype, feeds[name].shape);
  const judged = judgedTokens();
  const forward = llavaMiniForward(
    params,
    {
      pixels: declared("pixels"),
      ids: declared("ids"),
      keyMask: declared("keyMask"),
      fusionPositions: declared("fusionPositions"),
      index: declared("index"),
      tokenMask: declared("tokenMask"),
      positions: declared("positions"),
      tables: llamaRopeTables(config.language, total + fusion.keyMask.shape[1]),
      readPlaces: judged.places,
    },
    config,
  );
  const loss = nextTokenLoss(forward.scores, judged);
  const start = new Map<string, TensorData<"float32">>();
  for (const [name, published] of trainable) {
    start.set(name, (await folder.readTensor(published)) as TensorData<"float32">);
  }
  return { path, recorded, gradients, trainable, loss, feeds, start, frozen, assembled, get };
};

/** The middle third of the compressor's input bias is the keys': its true gradient is exactly 0. */
const isKeyBias = (published: string, index: number, length: number): boolean =>
  published.endsWith("in_proj_bias") && index >= length / 3 && index < (2 * length) / 3;

let engine: Engine;
beforeAll(() => {
  engine = createNodeEngine();
});
afterAll(() => engine.close());

describe.each(["llava-mini-train", "llava-mini-train-c1"])("training parity, %s", (folderName) => {
  it("labels stand where the reference puts them", async () => {
    const { assembled, get } = await prepare(folderName);
    expect(assembled).toEqual(rowsOf(get("labels_assembled")));
  });

  it("the loss and every gradient equal the reference's", async () => {
    const { gradients, trainable, loss, feeds, start, frozen, get } = await prepare(folderName);
    const inputs = createGraph("loss", { loss }).inputs;
    const names = [...trainable.keys()];
    const results = grad(
      loss,
      names.map((name) => inputs.get(name) as Tensor),
    );
    const outputs = Object.fromEntries(
      names.map((name, i) => [`grad.${name}`, results[i] as Tensor]),
    );
    const session = await engine.open(createGraph("gradients", { loss, ...outputs }), frozen);
    const produced = await session.run({ ...feeds, ...Object.fromEntries(start) });
    await session.close();
    const expectedLoss = Number(get("loss").data[0]);
    expect(Math.abs(Number(produced.loss.data[0]) / expectedLoss - 1)).toBeLessThan(1e-5);
    for (const [name, published] of trainable) {
      const reference = gradients.get(published) as TensorData;
      let [largest, difference] = [0, 0];
      reference.data.forEach((value: number | bigint, index: number) => {
        const own = Number(produced[`grad.${name}`].data[index]);
        if (isKeyBias(published, index, reference.data.length)) {
          expect(Math.abs(own), `${published} ${index}`).toBeLessThan(1e-6);
          return;
        }
        largest = Math.max(largest, Math.abs(Number(value)));
        difference = Math.max(difference, Math.abs(Number(value) - own));
      });
      expect(difference / largest, published).toBeLessThan(1e-4);
    }
  });

  it("three AdamW steps give the reference's losses and parameters", async () => {
    const { path, gradients, trainable, loss, feeds, start, frozen, get } =
      await prepare(folderName);
    const trainer = await Trainer.create(
      engine,
      { groups: [{ name: "all", parameters: [...trainable.keys()] }] },
      { state: start, frozen },
    );
    const trainStep = await trainer.openStep(loss);
    const losses = get("loss").data;
    for (let step = 0; step < 3; step += 1) {
      const result = await trainStep.run(feeds, { all: 1e-3 });
      expect(Math.abs(Number(result.loss.data[0]) / Number(losses[step]) - 1)).toBeLessThan(2e-5);
      if (step === 0) {
        const norm = Number(get("grad_global_norm").data[0]);
        expect(Math.abs(Number(result.gradientNorm.data[0]) / norm - 1)).toBeLessThan(1e-5);
      }
      if (step === 1) continue;
      const expected = await readAll(`${path}/trainable_step${step + 1}.safetensors`);
      const state = await trainer.state();
      let [far, total] = [0, 0];
      for (const [name, published] of trainable) {
        const own = (state.get(name) as TensorData).data;
        const reference = (expected.get(published) as TensorData).data;
        const gradient = (gradients.get(published) as TensorData).data;
        for (let index = 0; index < own.length; index += 1) {
          if (isKeyBias(published, index, own.length)) continue;
          const difference = Math.abs(Number(own[index]) - Number(reference[index]));
          total += 1;
          if (difference > 2e-5) far += 1;
          // Updates are sign-like: only entries with a real gradient are comparable one by one.
          if (Math.abs(Number(gradient[index])) > 1e-5) {
            expect(difference, `${published} ${index}, step ${step + 1}`).toBeLessThan(1e-4);
          }
        }
      }
      expect(far / total).toBeLessThan(1e-3);
    }
    await trainStep.close();
    await trainer.close();
  });
});
