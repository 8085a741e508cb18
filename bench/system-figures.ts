/** Figures of systems measured side by side, as benchmarks print them. */
import type { BenchReport, SystemFigures } from "../src/measure/bench-report.js";
import { measuredParts } from "../src/measure/bench-report.js";
import type { Figure } from "./report.js";

/** A number of the environment, for who has more time than the default asks for. */
export const fromEnvironment = (name: string, otherwise: number, least = 1): number => {
  const value = Number(process.env[name] ?? otherwise);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw new Error(`${name} must be a whole number of at least ${least}, got ${process.env[name]}`);
};

/** Aborted by Ctrl-C or an end from outside, so that processes and the files of weights go as well. */
export const interruption = (): AbortSignal => {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => controller.abort(new Error(`interrupted by ${signal}`)));
  }
  return controller.signal;
};

/** How much faster each system is than the first: medians of rounds, with their range, beside FLOPs. */
export const ratioFigures = ({ ratios }: BenchReport): Figure[] =>
  ratios.flatMap(({ name, against, firstToken, flops }) => [
    { name: `${name} faster than ${against}`, value: firstToken.median, unit: "x" as const },
    ...(firstToken.min < firstToken.max
      ? [
          { name: "the same, least of rounds", value: firstToken.min, unit: "x" as const },
          { name: "the same, most of rounds", value: firstToken.max, unit: "x" as const },
        ]
      : []),
    { name: "the same in FLOPs", value: flops, unit: "x" as const },
  ]);

/** Time, parts, rate and memory of one system. */
export const systemRows = (system: SystemFigures): Figure[] => {
  const { name, firstToken, runs, typicalRun, bytes, visionTokens } = system;
  const { measured } = bytes.besidesWeights;
  return [
    { name: `${name}: to the first token`, value: firstToken.ms.median / 1000, unit: "s" },
    ...measuredParts
      .filter((part) => runs[typicalRun].parts[part] >= 10)
      .map(
        (part): Figure => ({
          name: `${name}: ${part}`,
          value: runs[typicalRun].parts[part] / 1000,
          unit: "s",
        }),
      ),
    { name: `${name}: vision tokens`, value: visionTokens, unit: "count" },
    { name: `${name}: predicted`, value: firstToken.flops / 1e9, unit: "GFLOP" },
    {
      name: `${name}: rate`,
      value: (firstToken.flopsPerSecond ?? Number.NaN) / 1e9,
      unit: "GFLOP/s",
    },
    ...(measured === null
      ? []
      : [
          {
            name: `${name}: peak besides weights`,
            value: measured / 1e6,
            unit: "MB",
          } as const,
        ]),
  ];
};
