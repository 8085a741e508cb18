/** What `measureSystems` finds: predicted and measured, system by system. Plain values, ready for JSON. */
import type { CostReport } from "../cost/cost-report.js";
import { type CostPart, costParts } from "../systems/run-plan.js";
import type { RunTimes } from "./measured-system.node.js";

/** Over rounds. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number };

export const measuredParts = ["processing", ...costParts, "between"] as const;
export type MeasuredPart = (typeof measuredParts)[number];

export type PartFigures = {
  readonly ms: Spread;
  /** Predicted operations, 2 per multiply-add; 0 where nothing is predicted (resizing, copies). */
  readonly flops: number;
  /** Predicted operations over the median time; null without any. */
  readonly flopsPerSecond: number | null;
};

export type SystemFigures = {
  readonly name: string;
  readonly system: string;
  readonly weights: "stored" | "random" | "random, layers of the language model alike";
  readonly views: CostReport["views"];
  readonly visionTokens: number;
  readonly textTokens: number;
  /** What a router chose. */
  readonly routed: number | null;
  /** Every counted round. */
  readonly runs: readonly RunTimes[];
  /** Index of the run of median time, whose parts stand for the system. */
  readonly typicalRun: number;
  readonly firstToken: PartFigures;
  readonly parts: Readonly<Record<MeasuredPart, PartFigures>>;
  /** Tokens after the first; null for an answer of one token. */
  readonly decoding: {
    readonly tokensPerSecond: Spread;
    readonly flopsPerToken: number;
    /** Weights and cached rows that a token needs at least. */
    readonly bytesPerToken: number;
    readonly bytesPerSecond: number;
  } | null;
  /** Of one image, or one frame. */
  readonly perImage: {
    readonly tokens: number;
    readonly kvBytes: number;
    /** Everything before the language model, and its share of reading the prompt, by tokens. */
    readonly ms: number;
    readonly flops: number;
  };
  readonly bytes: {
    readonly weights: number;
    readonly kvCache: { readonly predicted: number; readonly allocated: number };
    /** Peak of the process besides mapped weights; null where the system does not tell (not Linux). */
    readonly besidesWeights: { readonly predicted: number; readonly measured: number | null };
  };
};

/** One system against the first: above 1 is faster, less, smaller. */
export type SystemRatio = {
  readonly name: string;
  readonly against: string;
  /** Times faster to the first token, within a round. */
  readonly firstToken: Spread;
  /** Times fewer predicted operations to the first token. */
  readonly flops: number;
  /** Times faster decoding, within a round; null for answers of one token. */
  readonly decoding: Spread | null;
};

export type BenchReport = {
  readonly request: {
    readonly image: { readonly width: number; readonly height: number };
    readonly frames: number | null;
    readonly textTokens: number;
    readonly newTokens: number;
    readonly granularity: number | null;
  };
  readonly machine: {
    readonly processor: string;
    readonly processors: number;
    readonly threads: number;
    readonly provider: string;
    readonly node: string;
    readonly onnxruntime: string;
    readonly date: string;
  };
  readonly rounds: number;
  /** Largest share of the processors that other processes had while a counted round ran. */
  readonly shareOfOthers: number;
  readonly systems: readonly SystemFigures[];
  readonly ratios: readonly SystemRatio[];
};

export const spreadOf = (values: readonly number[]): Spread => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, min: sorted[0], max: sorted[sorted.length - 1] };
};

/** Predicted operations up to the first token. */
export const firstTokenFlops = ({ flops }: Pick<CostReport, "flops">): number =>
  costParts.reduce((sum, part) => sum + flops[part], 0);

const figuresOf = (times: readonly number[], flops: number): PartFigures => {
  const ms = spreadOf(times);
  return { ms, flops, flopsPerSecond: flops > 0 ? flops / (ms.median / 1000) : null };
};

/** Index of the run whose time is the median, the lower one where there are two. */
const typicalOf = (runs: readonly RunTimes[]): number => {
  const order = runs.map((_, index) => index);
  order.sort((a, b) => runs[a].firstTokenMs - runs[b].firstTokenMs);
  return order[(order.length - 1) >> 1];
};

const isCostPart = (part: MeasuredPart): part is CostPart =>
  (costParts as readonly string[]).includes(part);

/** What a system's figures are made of. */
export type MeasuredFigures = Pick<SystemFigures, "name" | "weights" | "routed" | "runs"> & {
  readonly predicted: CostReport;
  readonly frames: number;
  readonly decoderBytes: number;
  readonly kvBytesPerToken: number;
  readonly allocatedBytes: number;
  readonly ownBytes: number | undefined;
};

export const systemFigures = (measured: MeasuredFigures): SystemFigures => {
  const { name, weights, routed, runs, predicted, frames, kvBytesPerToken } = measured;
  const { flops, bytes, visionTokens, textTokens, answerTokens } = predicted;
  const parts = Object.fromEntries(
    measuredParts.map((part) => [
      part,
      figuresOf(
        runs.map((run) => run.parts[part]),
        isCostPart(part) ? flops[part] : 0,
      ),
    ]),
  ) as Record<MeasuredPart, PartFigures>;
  const steps = answerTokens - 1;
  const tokensPerSecond = spreadOf(runs.map(({ decodeMs }) => (1000 * steps) / decodeMs));
  const bytesPerToken =
    measured.decoderBytes + (visionTokens + textTokens + steps / 2) * kvBytesPerToken;
  const typicalRun = typicalOf(runs);
  const { prefill } = runs[typicalRun].parts;
  const share = visionTokens / (visionTokens + textTokens);
  const before = runs[typicalRun].firstTokenMs - prefill;
  const total = firstTokenFlops(predicted);
  return {
    name,
    system: predicted.system,
    weights,
    views: predicted.views,
    visionTokens,
    textTokens,
    routed,
    runs,
    typicalRun,
    firstToken: figuresOf(
      runs.map(({ firstTokenMs }) => firstTokenMs),
      total,
    ),
    parts,
    decoding:
      steps > 0
        ? {
            tokensPerSecond,
            flopsPerToken: flops.perToken,
            bytesPerToken,
            bytesPerSecond: bytesPerToken * tokensPerSecond.median,
          }
        : null,
    perImage: {
      tokens: visionTokens / frames,
      kvBytes: (visionTokens * kvBytesPerToken) / frames,
      ms: (before + share * prefill) / frames,
      flops: (total - flops.prefill + share * flops.prefill) / frames,
    },
    bytes: {
      weights: bytes.weights,
      kvCache: { predicted: bytes.kvCache, allocated: measured.allocatedBytes },
      besidesWeights: {
        predicted: bytes.peak - bytes.weights,
        measured: measured.ownBytes ?? null,
      },
    },
  };
};

/** Every system but the first against the first. */
export const ratiosOf = ([first, ...others]: readonly SystemFigures[]): SystemRatio[] =>
  others.map(({ name, runs, firstToken, decoding }) => ({
    name,
    against: first.name,
    firstToken: spreadOf(
      runs.map(({ firstTokenMs }, round) => first.runs[round].firstTokenMs / firstTokenMs),
    ),
    flops: first.firstToken.flops / firstToken.flops,
    decoding:
      decoding === null
        ? null
        : spreadOf(runs.map(({ decodeMs }, round) => first.runs[round].decodeMs / decodeMs)),
  }));
