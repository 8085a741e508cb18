/** A model that is bound by its matrix products, against bare products and against PyTorch. */
import { estimateGraphCost, matrixFlops } from "../src/cost/graph-cost.js";
import type { DimBindings, Graph, ParameterSource } from "../src/graph/index.js";
import {
  best,
  bestRatio,
  measureRounds,
  medianRatio,
  type Task,
} from "../src/measure/rounds.node.js";
import { formatGemm, gemmFlops, listGemms, openGemmMix } from "./bare-gemm.js";
import { openPytorch } from "./peers/pytorch-peer.js";
import { type Figure, note, type Report } from "./report.js";

export type GemmBoundModel = {
  readonly benchmark: "clip" | "prefill";
  readonly about: string;
  readonly graph: Graph;
  /** Values of the graph's named sides in `run`. */
  readonly bindings: DimBindings;
  readonly run: Task;
  /** Weights for the bare products that are to be mapped. */
  readonly mapped: ParameterSource;
  readonly threads: number;
  readonly rounds: number;
};

/**
 * Rounds of: the model, PyTorch, the model's products as bare Gemms. Two rates come out, with the
 * FLOPs of both from the operators' own rules: linear layers and attention of the model, over all its
 * time; and the linear layers alone over the time of the bare Gemms. Their ratio is the figure.
 */
export const measureAgainstGemm = async (model: GemmBoundModel): Promise<Report> => {
  const { benchmark, graph, bindings, threads, rounds } = model;
  const cost = estimateGraphCost(graph, bindings);
  const gemms = listGemms(graph, bindings);
  const gemmMixFlops = gemms.reduce((sum, gemm) => sum + gemm.count * gemmFlops(gemm), 0);
  if (gemmMixFlops !== 2 * cost.linear) {
    throw new Error(
      `${benchmark}: bare Gemms ${gemmMixFlops} FLOPs, linear layers ${2 * cost.linear}`,
    );
  }
  const mix = await openGemmMix(graph, bindings, model.mapped, 5);
  const peer = await openPytorch(benchmark, threads);
  const { times, shareOfOthers } = await measureRounds(
    {
      model: model.run,
      pytorch: "run" in peer ? () => peer.run() : () => ({ milliseconds: Number.NaN }),
      gemms: async () => ({ milliseconds: await mix.measure() }),
    },
    rounds,
    (round, ms) =>
      note(
        `${benchmark} round ${round}/${rounds}: ${ms.model.toFixed(0)} ms, PyTorch ${ms.pytorch.toFixed(0)} ms, bare Gemms ${ms.gemms.toFixed(0)} ms`,
      ),
  );
  if ("close" in peer) peer.close();
  await mix.close();

  const flops = matrixFlops(cost);
  const rate = (count: number, ms: readonly number[]): number => count / best(ms) / 1e6;
  const share = bestRatio(times.gemms, times.model) * (flops / gemmMixFlops);
  const figures: Figure[] = [
    {
      name: "rate against its own products as bare Gemms",
      value: share,
      unit: "x",
      target: { atLeast: 0.85 },
    },
    {
      name: "the same, median of rounds",
      value: medianRatio(times.gemms, times.model) * (flops / gemmMixFlops),
      unit: "x",
    },
    {
      name: "rate against the best single shape",
      value: rate(flops, times.model) / mix.bestRate(),
      unit: "x",
    },
    ...("run" in peer
      ? [
          {
            name: "faster than PyTorch",
            value: bestRatio(times.pytorch, times.model),
            unit: "x",
            target: { atLeast: 3 },
          } as const,
        ]
      : []),
    { name: "time", value: best(times.model), unit: "ms" },
    { name: "linear layers", value: (2 * cost.linear) / 1e9, unit: "GFLOP" },
    { name: "attention", value: (2 * cost.attention) / 1e9, unit: "GFLOP" },
    { name: "rate", value: rate(flops, times.model), unit: "GFLOP/s" },
    { name: "bare Gemms of its shapes", value: rate(gemmMixFlops, times.gemms), unit: "GFLOP/s" },
    { name: "best single shape, best round", value: mix.bestRate(), unit: "GFLOP/s" },
  ];
  return {
    benchmark,
    about: model.about,
    setting: {
      provider: "cpu",
      threads,
      rounds,
      shapes: gemms.map((gemm) => `${gemm.count}*${formatGemm(gemm)}`).join(" "),
      ...("run" in peer && { peer: peer.described }),
    },
    figures,
    shareOfOthers,
    ...("missing" in peer && { skipped: [peer.missing] }),
  };
};
