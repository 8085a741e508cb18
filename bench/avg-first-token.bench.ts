/**
 * Time to the first token: LLaVA-NeXT against AVG-LLaVA (arXiv 2410.02745) at each granularity, router
 * included; one image of 672x672, published widths, random weights. Reading 3,000 tokens through 32
 * layers takes minutes, so all rows run through DEPTH layers (default 8, a quarter); the language model's
 * time at 32 follows from its operations. Two more runs say how good that is: LLaVA-NeXT at half the
 * depth, and the coarsest granularity at full depth. WARM_UP rounds go before, uncounted (default 1): the first run of
 * a process touches its memory for the first time, which costs a router a third more and 32 layers, which share theirs,
 * next to nothing. GRANULARITIES="36 576" leaves the others out.
 */

import { createCostEstimator } from "../src/cost/cost-report.js";
import { publishedModel } from "../src/load/published-sizes.js";
import type { SystemFigures } from "../src/measure/bench-report.js";
import {
  type MeasuredCandidate,
  type MeasureOptions,
  measureSystems,
} from "../src/measure/measure-systems.node.js";
import { costParts } from "../src/systems/run-plan.js";
import { type Figure, note, printReport } from "./report.js";
import { fromEnvironment, interruption, systemRows } from "./system-figures.js";

const rounds = fromEnvironment("ROUNDS", 1);
const warmUp = fromEnvironment("WARM_UP", 1, 0);
const depth = fromEnvironment("DEPTH", 8);
const fullDepth = 32;
const textTokens = 70;
const granularities = (process.env.GRANULARITIES ?? "36 72 144 288 576").split(" ").map(Number);
const finestRow = granularities.length;
const image = { width: 672, height: 672 };
const request = { image, textTokens, newTokens: 1 };
const options: MeasureOptions = {
  rounds,
  warmUp,
  patienceMs: 60_000,
  signal: interruption(),
  onProgress: (text) => note(`avg-first-token: ${text}`),
};
const at = (numLayers: number) => ({ changes: { num_hidden_layers: numLayers } });
const next = (name: string, numLayers: number): MeasuredCandidate => ({
  name,
  preset: "llava-next-7b",
  ...at(numLayers),
});
const avg = (name: string, granularity: number, numLayers: number): MeasuredCandidate => ({
  name,
  preset: "avg-llava-7b",
  ...at(numLayers),
  request: { granularity },
});

const checksDepth = depth < fullDepth;
const report = await measureSystems(
  [
    next("LLaVA-NeXT", depth),
    ...granularities.map((one) => avg(`AVG-LLaVA at ${one}`, one, depth)),
    ...(checksDepth && depth > 1 ? [next("LLaVA-NeXT, half as deep", depth >> 1)] : []),
    ...(checksDepth ? [avg("AVG-LLaVA at 36, 32 layers", 36, fullDepth)] : []),
  ],
  request,
  options,
);
const rows = report.systems.slice(0, 1 + granularities.length);
const checks = report.systems.slice(rows.length);

/** Predicted operations of reading the prompt at full depth. */
const fullPrefill = (index: number): number => {
  const estimate = createCostEstimator(
    publishedModel(index === 0 ? "llava-next-7b" : "avg-llava-7b"),
  );
  const routed = index === 0 ? {} : { routed: granularities[index - 1] };
  return estimate({ media: [{ ...image, ...routed }], textTokens }).flops.prefill;
};
/** Milliseconds at full depth in every round: the language model's by its operations, all else as it is. */
const fullMs = ({ runs, parts }: SystemFigures, index: number): number[] => {
  const factor = fullPrefill(index) / parts.prefill.flops;
  return runs.map(({ firstTokenMs, parts: { prefill } }) => firstTokenMs + (factor - 1) * prefill);
};
const full = rows.map(fullMs);
const fullFlops = rows.map(
  ({ parts }, index) =>
    costParts
      .filter((part) => part !== "prefill")
      .reduce((sum, part) => sum + parts[part].flops, 0) + fullPrefill(index),
);
const middle = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1];
const how = checksDepth ? `, from ${depth} layers` : "";

const figures: Figure[] = [
  ...granularities.flatMap((granularity, index): Figure[] => {
    const row = index + 1;
    const faster = full[0].map((ms, round) => ms / full[row][round]);
    return [
      {
        name: `${granularity} a view faster than LLaVA-NeXT${how}`,
        value: middle(faster),
        unit: "x",
      },
      ...(rounds > 1
        ? ([
            { name: "the same, least of rounds", value: Math.min(...faster), unit: "x" },
            { name: "the same, most of rounds", value: Math.max(...faster), unit: "x" },
          ] satisfies Figure[])
        : []),
      { name: "the same in FLOPs", value: fullFlops[0] / fullFlops[row], unit: "x" },
    ];
  }),
  {
    name: `36 tokens a view faster than 576${how}`,
    value: middle(full[finestRow].map((ms, round) => ms / full[1][round])),
    unit: "x",
    target: { atLeast: 2.53 },
  },
  {
    name: `router, share of the time at 576${how}`,
    value: (100 * rows[finestRow].parts.router.ms.median) / middle(full[finestRow]),
    unit: "%",
    target: { below: 3 },
  },
  ...rows.map(
    ({ name }, index): Figure => ({
      name: `${name}: to the first token at 32 layers${how}`,
      value: middle(full[index]) / 1000,
      unit: "s",
    }),
  ),
];
const [half] = checks;
const whole = checks.at(-1);
if (checksDepth && whole !== undefined) {
  const rate = ({ parts }: SystemFigures): number => parts.prefill.flopsPerSecond ?? Number.NaN;
  if (half !== whole) {
    figures.push({
      name: `language model's rate at ${depth} layers over ${depth >> 1}: 1 is linear in depth`,
      value: rate(rows[0]) / rate(half),
      unit: "x",
    });
  }
  figures.push({
    name: "AVG-LLaVA at 36, 32 layers: measured over what follows from fewer",
    value: whole.firstToken.ms.median / middle(full[1]),
    unit: "x",
  });
}
printReport({
  benchmark: "avg-first-token",
  about: `one image of ${image.width}x${image.height} in 5 views and ${textTokens} text tokens, until the scores of the first answer token`,
  setting: {
    provider: report.machine.provider,
    threads: report.machine.threads,
    rounds,
    measuredLayers: depth,
    weights: "all layers of the language model share one layer's bytes",
  },
  shareOfOthers: report.shareOfOthers,
  figures: [...figures, ...report.systems.flatMap(systemRows)],
});
