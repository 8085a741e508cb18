import { createGraph, type Engine, input, linear, zeros } from "../graph/index.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { float32 } from "../tensor-data.js";

/** Sizes at which every engine reaches its rate, and one run takes milliseconds. */
const [rows, width, numLayers, numRuns] = [512, 1024, 4, 5];

/** Measures how many floating-point operations a second `engine` reaches in matrix products. */
export const measureMatrixRate = async (engine: Engine): Promise<number> => {
  const scope = new ParameterScope(["rate"]);
  const x = input("x", "float32", [rows, width]);
  let y = x;
  for (let layer = 0; layer < numLayers; layer += 1) {
    y = linear(y, scope.parameter(`weight${layer}`, [width, width], zeros));
  }
  const weight = new Uint8Array(width * width * 4);
  const session = await engine.open(createGraph("matrix-rate", { y }), () => ({
    dtype: "float32",
    content: weight,
  }));
  try {
    let bestMs = Number.POSITIVE_INFINITY;
    for (let run = 0; run < numRuns; run += 1) {
      const startedMs = performance.now();
      await session.run({ x: float32([rows, width], new Float32Array(rows * width)) });
      bestMs = Math.min(bestMs, performance.now() - startedMs);
    }
    return (2 * rows * width * width * numLayers) / (bestMs / 1000);
  } finally {
    await session.close();
  }
};
