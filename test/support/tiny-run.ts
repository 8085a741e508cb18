/**
 * A small but whole training run: a LLaMA decoder of two layers learns to repeat what it has read, on
 * the processor. Tests run it here, and in a process of its own that they kill.
 */
import { createNodeEngine } from "../../src/graph/engine.node.js";
import {
  createGraph,
  type Engine,
  initParameter,
  input,
  randomStream,
  type Tensor,
} from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../../src/systems/judged-tokens.js";
import { bool, elementCount, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { planGroups, selectNames } from "../../src/train/parameter-patterns.js";
import { parseRecipe, type Recipe } from "../../src/train/recipe.js";
import type { OpenStage, StageStart } from "../../src/train/stage.js";
import { Trainer } from "../../src/train/train-step.js";
import type { BatchSource, JsonValue } from "../../src/train/trainable.js";

const config = parseLlamaConfig({
  vocab_size: 24,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  max_position_embeddings: 32,
});
const batch = 4;
const half = 6;
const length = 2 * half;

export type TinyBatch = { readonly names: readonly string[]; readonly ids: readonly number[][] };

const declaredParameters = listParameters(llamaParams(new ParameterScope(["language"]), config));

/** First values, as a model's folder would give them. */
const firstValues = (seed: number): Map<string, TensorData<"float32">> =>
  new Map(
    [...declaredParameters].map(([name, { source, shape }]) => {
      if (source.kind !== "parameter") throw new Error(`firstValues: ${name} is no parameter`);
      const sides = shape.map(Number);
      const values = initParameter(source.initializer, name, elementCount(sides), seed);
      return [name, float32(sides, values)] as const;
    }),
  );

/** Rows of random tokens of the first six, each followed by itself. Its state is the sample counter and the stream's. */
export const tinyData = (seed: number): BatchSource<TinyBatch> => {
  let drawn = 0;
  let state = seed;
  return {
    next: async () => {
      const ids = Array.from({ length: batch }, () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        const random = randomStream(state);
        const row = Array.from({ length: half }, () => Math.floor(random() * 6));
        return [...row, ...row];
      });
      const names = ids.map((_, index) => `sample ${drawn + index}`);
      drawn += batch;
      // A later answer, so that a place read too late would show.
      await new Promise((resolve) => setImmediate(resolve));
      return { names, ids };
    },
    state: () => ({ drawn, state }),
    restore: (saved: JsonValue) => {
      ({ drawn, state } = saved as { drawn: number; state: number });
    },
  };
};

const labelsOf = (ids: readonly number[][]): TensorData<"int64"> =>
  int64(
    [batch, length],
    ids.flatMap((row) => row.map((id, place) => (place < half ? -100 : id))),
  );

export type TinyStageOptions = {
  /** Changes a batch before it is used; the poisoned parameter becomes NaN. */
  readonly poison?: { readonly step: number; readonly parameter: string };
  readonly batchesPerEpoch?: number;
  readonly onOpen?: (start: StageStart) => void;
};

/** Opens stages of the tiny model on `engine`. */
export const tinyStages =
  (engine: Engine, seed: number, options: TinyStageOptions = {}): OpenStage<TinyBatch> =>
  async (stage, start) => {
    options.onOpen?.(start);
    const trained = selectNames(
      stage.train,
      [...declaredParameters.keys()],
      `stage "${stage.name}"`,
    );
    const groups = planGroups(trained, stage.groups);
    const first = new Map([...firstValues(seed), ...start.tensors]);
    if (options.poison !== undefined && options.poison.step === start.stepsTaken) {
      first.get(options.poison.parameter)?.data.set([Number.NaN], 3);
    }
    const isTrained = new Set(trained);
    const params = llamaParams(
      new ParameterScope(["language"], (name) => isTrained.has(name)),
      config,
    );
    const declared: Record<string, Tensor> = {
      ids: input("ids", "int64", [batch, length]),
      positions: input("positions", "int64", [batch, length]),
      tokenMask: input("tokenMask", "bool", [batch, length]),
    };
    const judged = judgedTokens();
    const scores = sequenceScores(
      params,
      embedTokens(params, declared.ids),
      {
        positions: declared.positions,
        tokenMask: declared.tokenMask,
        tables: llamaRopeTables(config, length),
        readPlaces: judged.places,
      },
      config,
    );
    const loss = nextTokenLoss(scores, judged);
    const trainer = await Trainer.create(
      engine,
      {
        groups,
        adamW: stage.adamW,
        ...(stage.maxGradientNorm !== undefined && { maxGradientNorm: stage.maxGradientNorm }),
      },
      {
        state: first,
        frozen: (name) => ({
          dtype: "float32",
          content: new Uint8Array((first.get(name) as TensorData).data.buffer),
        }),
        stepsTaken: start.stepsTaken,
      },
    );
    const step = await trainer.openStep(loss);
    const evaluation = await trainer.openForward(createGraph("evaluate", { loss }));
    const feedsOf = ({ ids }: TinyBatch): Record<string, TensorData> => ({
      ids: int64([batch, length], ids.flat()),
      ...feedJudged(judgedOf(labelsOf(ids))),
      positions: int64(
        [batch, length],
        Array.from({ length: batch * length }, (_, index) => index % length),
      ),
      tokenMask: bool([batch, length], new Array<boolean>(batch * length).fill(true)),
    });
    const tokens = batch * half;
    const close = async (): Promise<void> => {
      await step.close();
      await evaluation.close();
      await trainer.close();
    };
    return {
      trainable: {
        groups: groups.map(({ name, parameters }) => ({
          name,
          parameters: parameters.map((parameter) => ({
            name: parameter,
            shape: first.get(parameter)?.shape ?? [],
          })),
        })),
        step: async (given, rates) => {
          const results = await step.run(feedsOf(given), rates);
          return {
            loss: Number(results.loss.data[0]),
            gradientNorm: Number(results.gradientNorm.data[0]),
            tokens,
          };
        },
        evaluate: async (given) => {
          const results = await evaluation.run(feedsOf(given));
          return { loss: Number(results.loss.data[0]), tokens };
        },
        state: () => trainer.state(),
        close,
      },
      data: tinyData(seed + 1),
      ...(options.batchesPerEpoch !== undefined && { batchesPerEpoch: options.batchesPerEpoch }),
      validation: async function* () {
        const source = tinyData(seed + 2);
        while (true) yield await source.next();
      },
      namesOf: ({ names }) => names,
      close,
    };
  };

/** Two stages: embeddings and head alone, then everything at two rates. */
export const tinyRecipe = (steps: readonly [number, number], everySteps = 4): Recipe =>
  parseRecipe(
    `
name: tiny
model: { from: nowhere }
seed: 3
stages:
  - name: alignment
    train: ["language.embedding", "language.head"]
    groups: [{ name: all, parameters: ["**"], learningRate: 1e-2 }]
    data: { train: [{ path: none, format: llava }], validation: [{ path: none, format: llava }], maxLength: 12 }
    batchSize: 4
    steps: ${steps[0]}
    schedule: { kind: constant, warmupSteps: 2 }
    checkpoint: { everySteps: ${everySteps}, keep: 2 }
    validation: { everySteps: 5, batches: 2 }
  - name: tuning
    train: ["**", "!language.embedding"]
    groups:
      - { name: norms, parameters: ["**.{attentionNorm,mlpNorm}.**", "language.norm.**"], learningRate: 1e-3 }
      - { name: rest, parameters: ["**"], learningRate: 5e-3, weightDecay: 0.01 }
    data: { train: [{ path: none, format: llava }], maxLength: 12 }
    batchSize: 4
    steps: ${steps[1]}
    schedule: { kind: cosine, warmupRatio: 0.1, minRatio: 0.05 }
    maxGradientNorm: 1
    checkpoint: { everySteps: ${everySteps}, keep: 2 }
`,
    "tiny.yaml",
  );

export const createTinyEngine = (): Engine => createNodeEngine({ threads: 1 });
