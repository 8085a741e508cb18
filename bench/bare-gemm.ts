/** The yardstick: ONNX Runtime with one Gemm and nothing else, its weight constant. */
import { availableParallelism } from "node:os";
import { parse } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import {
  createGraph,
  type DimBindings,
  evaluateDim,
  type Graph,
  input,
  linear,
  lowerGraph,
  normal,
  type ParameterSource,
  productOfDims,
} from "../src/graph/index.js";
import { repeat } from "../src/measure/rounds.node.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { randomFloats } from "./random-weights.js";

/** A product of [rows, inWidth] with a weight [outWidth, inWidth]. */
export type GemmShape = {
  readonly rows: number;
  readonly inWidth: number;
  readonly outWidth: number;
};

/** A product, and how often a model has it. */
export type CountedGemm = GemmShape & { readonly count: number };

export const gemmFlops = ({ rows, inWidth, outWidth }: GemmShape): number =>
  2 * rows * inWidth * outWidth;

export const formatGemm = ({ rows, inWidth, outWidth }: GemmShape): string =>
  `${rows}x${inWidth}x${outWidth}`;

/** The products of a graph's linear layers, and how often each occurs. */
export const listGemms = (graph: Graph, bindings: DimBindings): readonly CountedGemm[] => {
  const found = new Map<string, GemmShape & { count: number }>();
  for (const { operator, inputs } of graph.operations) {
    if (operator.name !== "linear") continue;
    const [x, weight] = inputs;
    const rows = evaluateDim(productOfDims(x.shape.slice(0, -1)), bindings);
    const [outWidth, inWidth] = weight.shape.map(Number);
    const shape = { rows, inWidth, outWidth };
    const known = found.get(formatGemm(shape));
    if (known === undefined) found.set(formatGemm(shape), { ...shape, count: 1 });
    else known.count += 1;
  }
  return [...found.values()];
};

export type BareGemm = { run(): Promise<undefined>; close(): Promise<void> };

/**
 * Opens one Gemm. Without `mapped` its weight is in memory and packed by the runtime, the fastest it
 * offers; with it the weight is used where it lies in the file, as in our engine. The result goes
 * into memory that is there already.
 */
export const openBareGemm = async (
  shape: GemmShape,
  mapped?: ParameterSource,
): Promise<BareGemm> => {
  const { rows, inWidth, outWidth } = shape;
  const x = input("x", "float32", [rows, inWidth]);
  const weight = new ParameterScope().parameter("matrix", [outWidth, inWidth], normal(1));
  const inMemory: ParameterSource = () => ({
    dtype: "float32",
    content: new Uint8Array(randomFloats(inWidth * outWidth).buffer),
  });
  const model = lowerGraph(createGraph("gemm", { y: linear(x, weight) }), mapped ?? inMemory);
  const session = await InferenceSession.create(model, {
    executionProviders: ["cpu"],
    graphOptimizationLevel: "all",
    intraOpNumThreads: availableParallelism(),
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    extra: {
      session: {
        force_spinning_stop: "1", // else it disturbs whatever is measured next
        ...(mapped !== undefined && {
          disable_prepacking: "1",
          model_external_initializers_file_folder_path: parse(process.cwd()).root,
        }),
      },
    },
  });
  const feeds = { x: new Tensor("float32", randomFloats(rows * inWidth, 1), [rows, inWidth]) };
  const fetches = {
    y: new Tensor("float32", new Float32Array(rows * outWidth), [rows, outWidth]),
  };
  return {
    run: async () => {
      await session.run(feeds, fetches);
      return undefined;
    },
    close: () => session.release(),
  };
};

/**
 * All products of a model's linear layers as bare Gemms: what its time would be if nothing else had
 * to be done, and every weight were in the cache already. Each shape is run packed and mapped a few
 * times, and the better median counts, as often as the model has it.
 */
export const openGemmMix = async (
  graph: Graph,
  bindings: DimBindings,
  mapped: ParameterSource,
  repeats: number,
) => {
  const gemms: { shape: CountedGemm; packed: BareGemm; mapped: BareGemm }[] = [];
  for (const shape of listGemms(graph, bindings)) {
    gemms.push({
      shape,
      packed: await openBareGemm(shape),
      mapped: await openBareGemm(shape, mapped),
    });
  }
  let bestRate = 0;
  return {
    /** Milliseconds of the whole mix. */
    measure: async (): Promise<number> => {
      let totalMs = 0;
      for (const { shape, packed, mapped } of gemms) {
        const ms = Math.min(await repeat(packed.run, repeats), await repeat(mapped.run, repeats));
        bestRate = Math.max(bestRate, gemmFlops(shape) / ms / 1e6);
        totalMs += shape.count * ms;
      }
      return totalMs;
    },
    /** GFLOP/s of the best shape in the best round. */
    bestRate: (): number => bestRate,
    close: async (): Promise<void> => {
      for (const { packed, mapped } of gemms) {
        await packed.close();
        await mapped.close();
      }
    },
  };
};
