import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { type Engine, inMemoryParameters, input } from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaNames, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../../src/systems/judged-tokens.js";
import { bool, int64, type TensorData } from "../../src/tensor-data.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { scheduleFactor } from "../../src/train/schedule.js";
import { Trainer } from "../../src/train/train-step.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors } from "../../src/weights/safetensors-file.node.js";

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/training-curve/${name}`, import.meta.url));

type Curve = {
  readonly training: Readonly<Record<string, number>>;
  readonly losses: readonly number[];
  readonly gradientNorms: readonly number[];
};

let engine: Engine;
beforeAll(() => {
  engine = createNodeEngine({ threads: 1 });
});
afterAll(() => engine.close());

/** The oracle's rows of random symbols, each followed by itself. */
const createRows = ({ seed, batch, half, symbols }: Curve["training"]) => {
  let state = seed;
  const draw = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 16) % symbols;
  };
  return (): number[][] =>
    Array.from({ length: batch }, () => {
      const row = Array.from({ length: half }, draw);
      return [...row, ...row];
    });
};

it("training from the same start gives PyTorch's losses and gradient norms, step by step", async () => {
  const curve = JSON.parse(await readFile(fixture("curve.json"), "utf8")) as Curve;
  const config = parseLlamaConfig(JSON.parse(await readFile(fixture("config.json"), "utf8")));
  const names = createRenameTable(llamaNames);
  const file = await openSafetensors(fixture("model.safetensors"));
  const state = new Map<string, TensorData<"float32">>();
  for (const published of file.tensors.keys()) {
    const value = (await file.readTensor(published)) as TensorData<"float32">;
    state.set(names.toInternal(published) ?? "", value);
  }
  const { training, losses, gradientNorms } = curve;
  const { batch, half, steps, learningRate, warmupSteps, minRatio } = training;
  const places = [batch, 2 * half];
  const declared = {
    ids: input("ids", "int64", places),
    positions: input("positions", "int64", places),
    tokenMask: input("tokenMask", "bool", places),
  };
  const params = llamaParams(new ParameterScope([], (name) => state.has(name)), config);
  const judged = judgedTokens();
  const scores = sequenceScores(
    params,
    embedTokens(params, declared.ids),
    { ...declared, tables: llamaRopeTables(config, 2 * half), readPlaces: judged.places },
    config,
  );
  const { beta1, beta2, epsilon, weightDecay, maxGradientNorm } = training;
  const trainer = await Trainer.create(
    engine,
    {
      groups: [{ name: "all", parameters: [...state.keys()], weightDecay }],
      adamW: { beta1, beta2, epsilon },
      maxGradientNorm,
    },
    { state, frozen: inMemoryParameters(state) },
  );
  const step = await trainer.openStep(nextTokenLoss(scores, judged));
  const nextRows = createRows(training);
  const count = batch * 2 * half;
  for (let at = 0; at < steps; at += 1) {
    const rows = nextRows();
    const factor = scheduleFactor({ kind: "cosine", warmupSteps, minRatio }, at, steps);
    const { loss, gradientNorm } = await step.run(
      {
        ids: int64(places, rows.flat()),
        ...feedJudged(
          judgedOf(
            int64(
              places,
              rows.flatMap((row) => row.map((id, place) => (place < half ? -100 : id))),
            ),
          ),
        ),
        positions: int64(
          places,
          Array.from({ length: count }, (_, index) => index % (2 * half)),
        ),
        tokenMask: bool(places, new Array<boolean>(count).fill(true)),
      },
      { all: factor * learningRate },
    );
    expect(Math.abs(Number(loss.data[0]) - losses[at]), `loss of step ${at}`).toBeLessThan(2e-3);
    const norm = Number(gradientNorm.data[0]) / gradientNorms[at];
    expect(Math.abs(norm - 1), `gradient norm of step ${at}`).toBeLessThan(2e-2);
    // Before rounding has had time to grow, they agree to single precision.
    if (at < 15) expect(Math.abs(Number(loss.data[0]) / losses[at] - 1)).toBeLessThan(1e-5);
  }
  // What was learned is more than the symbols: chance among them is log 12 = 2.48.
  expect(losses[steps - 1]).toBeLessThan(1);
  await step.close();
  await trainer.close();
});
