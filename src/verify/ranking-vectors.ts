/** The ranking loss alone, on recorded logits and likelihoods (`vector.i.*`). */
import { createGraph, grad, inMemoryParameters, input, type Tensor } from "../graph/index.js";
import type { TensorData } from "../tensor-data.js";
import { float32 } from "../tensor-data.js";
import { granularityRankingLoss } from "../train/granularity-ranking-loss.js";
import { numbersOf, type Recorded, type VerifyContext } from "./recorded.js";

const inputParts = ["logits", "nll", "margin_rankw_cew"] as const;
const vectorName = (index: number, part: string): string => `vector.${index}.${part}`;

/** Names of the recorded tensors that the vectors are computed from. */
export const rankingVectorInputs = (recorded: Recorded): string[] =>
  [...recorded.keys()].filter((name) =>
    inputParts.some((part) => name.startsWith("vector.") && name.endsWith(`.${part}`)),
  );

/** Both parts of each vector's loss, their weighted sum, and its gradient by the logits. */
export const produceRankingVectors = async ({
  recorded,
  engine,
}: VerifyContext): Promise<Map<string, TensorData>> => {
  const produced = new Map<string, TensorData>();
  for (let index = 0; ; index += 1) {
    const [values, losses, weights] = inputParts.map((part) =>
      recorded.get(vectorName(index, part)),
    );
    if (values === undefined || losses === undefined || weights === undefined) return produced;
    const [margin, rankWeight, crossEntropyWeight] = numbersOf(weights);
    const { shape } = values;
    const logits = input("logits", "float32", shape);
    const { rank, crossEntropy, total } = granularityRankingLoss(
      {
        logits,
        losses: input("losses", "float32", shape),
        counts: input("counts", "float32", [shape[0]]),
      },
      { form: "released", margin, rankWeight, crossEntropyWeight },
    );
    const [gradient] = grad(total, [logits]) as [Tensor];
    const outputs = { rank, ce: crossEntropy, total, grad_logits: gradient };
    const session = await engine.open(
      createGraph("verify.vector", outputs),
      inMemoryParameters(new Map()),
    );
    const counts = float32([shape[0]], new Float32Array(shape[0]).fill(1));
    const results = await session.run({ logits: values, losses, counts });
    await session.close();
    for (const [part, tensor] of Object.entries(results)) {
      produced.set(vectorName(index, part), tensor);
    }
  }
};
