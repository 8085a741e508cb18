import { afterAll, beforeAll } from "vitest";
import type { Engine, Feed } from "../../src/graph/engine.js";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { createGraph } from "../../src/graph/graph.js";
import { randomStream } from "../../src/graph/initializers.js";
import { inMemoryParameters } from "../../src/graph/onnx/lower-graph.js";
import type { Tensor } from "../../src/graph/tensor.js";
import { elementCount, float32, type TensorData } from "../../src/tensor-data.js";

export type Runner = {
  engine(): Engine;
  /** Opens a graph of `outputs`, runs it once and closes it. */
  compute(
    outputs: Readonly<Record<string, Tensor>>,
    feeds?: Readonly<Record<string, Feed>>,
    parameters?: ReadonlyMap<string, TensorData>,
  ): Promise<Record<string, TensorData>>;
};

/** One engine for all tests of a file. */
export const useEngine = (): Runner => {
  let engine: Engine | undefined;
  beforeAll(() => {
    engine = createNodeEngine({ threads: 1 });
  });
  afterAll(() => engine?.close());
  const opened = (): Engine => {
    if (engine === undefined) throw new Error("useEngine: use the engine inside a test");
    return engine;
  };
  return {
    engine: opened,
    compute: async (outputs, feeds = {}, parameters = new Map()) => {
      const session = await opened().open(
        createGraph("test", outputs),
        inMemoryParameters(parameters),
      );
      try {
        return await session.run(feeds);
      } finally {
        await session.close();
      }
    },
  };
};

/** A source of random float32 tensors with elements in -1..1, the same for the same seed. */
export const randomTensors = (seed: number) => {
  const random = randomStream(seed);
  return (shape: readonly number[], scale = 1): TensorData<"float32"> =>
    float32(
      shape,
      Float32Array.from({ length: elementCount(shape) }, () => scale * (2 * random() - 1)),
    );
};
