import { createGraph, type Engine, input, type ParameterSource } from "../graph/index.js";
import { sequenceScores } from "../language/full-sequence.js";
import { type LlamaParams, llamaRopeTables } from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { bool, float32, int64, type TensorData } from "../tensor-data.js";

/** Prompts [1, T, D] of unequal length as one batch, zeros behind the shorter ones. */
export const padRight = (
  prompts: readonly TensorData<"float32">[],
): { readonly joined: TensorData<"float32">; readonly mask: TensorData<"bool"> } => {
  const width = prompts[0].shape[2];
  const length = Math.max(...prompts.map(({ shape }) => shape[1]));
  const data = new Float32Array(prompts.length * length * width);
  prompts.forEach((prompt, sample) => {
    data.set(prompt.data, sample * length * width);
  });
  return {
    joined: float32([prompts.length, length, width], data),
    mask: bool(
      [prompts.length, length],
      prompts.flatMap(({ shape }) => Array.from({ length }, (_, place) => place < shape[1])),
    ),
  };
};

/** Scores of every place of embedded prompts, padded on the right, [B, T, W]. */
export const scorePrompts = async (
  engine: Engine,
  params: LlamaParams,
  parameters: ParameterSource,
  config: LlamaConfig,
  prompts: readonly TensorData<"float32">[],
): Promise<TensorData<"float32">> => {
  const { joined, mask } = padRight(prompts);
  const [batch, length] = joined.shape;
  const sides = ["B", "T"] as const;
  const scores = sequenceScores(
    params,
    input("embeddings", "float32", [...sides, config.width]),
    {
      positions: input("positions", "int64", [...sides]),
      tokenMask: input("tokenMask", "bool", [...sides]),
      tables: llamaRopeTables(config, length),
    },
    config,
  );
  const session = await engine.open(createGraph("verify.scores", { scores }), parameters);
  const places = Array.from({ length: batch * length }, (_, index) => index % length);
  const results = await session.run({
    embeddings: joined,
    positions: int64([batch, length], places),
    tokenMask: mask,
  });
  await session.close();
  return results.scores as TensorData<"float32">;
};
