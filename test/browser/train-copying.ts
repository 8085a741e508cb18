/** Trains a decoder of two layers to repeat what it has read, in the page. */
import {
  type Engine,
  initParameter,
  inMemoryParameters,
  input,
  randomStream,
} from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { parseLlamaConfig } from "../../src/language/llama-config.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../../src/systems/judged-tokens.js";
import { bool, elementCount, float32, int64 } from "../../src/tensor-data.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { Trainer } from "../../src/train/train-step.js";

const config = parseLlamaConfig({
  vocab_size: 12,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  max_position_embeddings: 32,
});
const [batch, half] = [8, 4];
const places = [batch, 2 * half];

/** The loss before each of `numSteps` steps. */
export const trainCopying = async (engine: Engine, numSteps: number): Promise<number[]> => {
  const state = new Map(
    [...listParameters(llamaParams(new ParameterScope(), config))].map(([name, tensor]) => {
      const shape = tensor.shape.map(Number);
      const { source } = tensor;
      if (source.kind !== "parameter") throw new Error(`trainCopying: ${name} is no parameter`);
      const first = initParameter(source.initializer, name, elementCount(shape), 1);
      return [name, float32(shape, first)] as const;
    }),
  );
  const params = llamaParams(new ParameterScope([], (name) => state.has(name)), config);
  const ids = input("ids", "int64", places);
  const judged = judgedTokens();
  const scores = sequenceScores(
    params,
    embedTokens(params, ids),
    {
      positions: input("positions", "int64", places),
      tokenMask: input("tokenMask", "bool", places),
      tables: llamaRopeTables(config, 2 * half),
      readPlaces: judged.places,
    },
    config,
  );
  const trainer = await Trainer.create(
    engine,
    { groups: [{ name: "all", parameters: [...state.keys()] }], maxGradientNorm: 1 },
    { state, frozen: inMemoryParameters(state) },
  );
  const step = await trainer.openStep(nextTokenLoss(scores, judged));
  const random = randomStream(7);
  const count = batch * 2 * half;
  const losses: number[] = [];
  for (let taken = 0; taken < numSteps; taken += 1) {
    const rows = Array.from({ length: batch }, () => {
      const row = Array.from({ length: half }, () => Math.floor(random() * 6));
      return [...row, ...row];
    });
    const { loss } = await step.run(
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
      { all: 1e-2 },
    );
    losses.push(Number(loss.data[0]));
  }
  await step.close();
  await trainer.close();
  return losses;
};
