import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { type CostReport, createCostEstimator } from "../cost/cost-report.js";
import { kvBytesPerToken } from "../cost/kv-bytes.js";
import { OptionsError } from "../errors.js";
import type { NodeEngineOptions } from "../graph/engine.node.js";
import { decoderGraph } from "../language/decoder-graph.js";
import { listParameters } from "../nn/parameter-scope.js";
import type { System } from "../systems/system.js";
import { elementCount } from "../tensor-data.js";
import { type BenchReport, ratiosOf, type SystemFigures, systemFigures } from "./bench-report.js";
import {
  type MeasuredModel,
  type ResolvedMeasuredModel,
  resolveMeasuredModel,
} from "./measured-model.node.js";
import { type MeasuredProcess, openMeasuredProcess } from "./measured-process-client.node.js";
import { checkRequest, costRequestOf, type MeasuredRequest } from "./measured-request.js";
import type { MeasuredRun } from "./measured-system.node.js";
import { placedBytes, sharedLayerName, writeRandomWeights } from "./random-weights.node.js";
import { measureRounds } from "./rounds.node.js";

export type MeasureOptions = NodeEngineOptions & {
  /** Rounds that count; every system runs once in each. Default 3. */
  readonly rounds?: number;
  /** Rounds before them; default 1. */
  readonly warmUp?: number;
  /** How long to wait for other processes to leave the processors alone, in all; default 0. */
  readonly patienceMs?: number;
  readonly signal?: AbortSignal;
  /** Progress, for whoever waits. */
  readonly onProgress?: (text: string) => void;
};

/** A system to be measured; sizes that are its own go before those of the request. */
export type MeasuredCandidate = MeasuredModel & {
  readonly request?: Pick<MeasuredRequest, "granularity" | "runsRouter">;
};

/** Random weights are written up to here; what is larger has layers that share their bytes. */
const maxRandomBytes = 4e9;

type Candidate = ResolvedMeasuredModel & {
  readonly asked: MeasuredCandidate;
  readonly request: MeasuredRequest;
  readonly predict: (routed?: number) => CostReport;
  readonly sharesLayers: boolean;
  /** Bytes of random weights. */
  readonly randomBytes: number;
};

const shapesOf = ({ params }: System): ReadonlyMap<string, readonly number[]> =>
  new Map([...listParameters(params)].map(([name, { shape }]) => [name, shape.map(Number)]));

const prepare = async (
  { request: own, ...asked }: MeasuredCandidate,
  shared: MeasuredRequest,
): Promise<Candidate> => {
  const request = { ...shared, ...own };
  const resolved = await resolveMeasuredModel(asked);
  const { model, stored } = resolved;
  const estimate = createCostEstimator(model, stored && { weightBytes: stored.numBytes });
  const predict = (routed?: number) => estimate(costRequestOf(request, routed));
  // What cannot be asked is refused before anything is written or started.
  predict(request.runsRouter === false ? undefined : request.granularity);
  const shapes = shapesOf(model.system);
  const sharesLayers = stored === undefined && placedBytes(shapes) > maxRandomBytes;
  const randomBytes =
    stored === undefined ? placedBytes(shapes, sharesLayers ? sharedLayerName : undefined) : 0;
  return { ...resolved, asked, request, predict, sharesLayers, randomBytes };
};

/** Bytes of the weights that reading one token takes. */
const decoderBytes = ({ model: { system }, stored }: Candidate): number => {
  const { parameters } = decoderGraph(system.params.language, system.language, 1);
  return [...parameters].reduce((sum, [name, tensor]) => {
    const shape = tensor.shape.map(Number);
    const content = stored?.parameters(name, shape).content;
    return sum + (content?.byteLength ?? 4 * elementCount(shape));
  }, 0);
};

const figuresOf = (candidate: Candidate, runs: readonly MeasuredRun[]): SystemFigures => {
  const { asked, request, predict, stored, sharesLayers, model } = candidate;
  const [{ routed, cacheBytes }] = runs;
  const peaks = runs.flatMap(({ ownBytes }) => ownBytes ?? []);
  return systemFigures({
    name: asked.name,
    weights: stored
      ? "stored"
      : sharesLayers
        ? "random, layers of the language model alike"
        : "random",
    routed: routed ?? null,
    runs: runs.map(({ firstTokenMs, parts, decodeMs }) => ({ firstTokenMs, parts, decodeMs })),
    predicted: predict(routed),
    frames: request.numFrames ?? 1,
    decoderBytes: decoderBytes(candidate),
    kvBytesPerToken: kvBytesPerToken(model.system.language),
    allocatedBytes: cacheBytes,
    ownBytes: peaks.length > 0 ? Math.max(...peaks) : undefined,
  });
};

const machine = ({ provider = "cpu", threads = availableParallelism() }: NodeEngineOptions) => {
  const manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
  return {
    processor: cpus()[0]?.model ?? "unknown",
    processors: availableParallelism(),
    threads,
    provider,
    node: process.versions.node,
    onnxruntime: String(
      (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version,
    ),
    date: new Date().toISOString().slice(0, 10),
  };
};

const checkOptions = (candidates: readonly MeasuredCandidate[], rounds: number, warmUp: number) => {
  const names = candidates.map(({ name }) => name);
  if (names.length === 0) {
    throw new OptionsError("measureSystems: there must be a system to measure, got none");
  }
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) {
    throw new OptionsError(`measureSystems: names must differ, got ${twice} twice; rename one`);
  }
  if (!Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(warmUp) || warmUp < 0) {
    throw new OptionsError(
      `measureSystems: rounds must be 1 or more and warmUp 0 or more, got ${rounds} and ${warmUp}`,
    );
  }
};

/**
 * Measures systems side by side: each in a process of its own, taking turns in every round, from pixels
 * to the answer's last token. Presets get random weights, written once and mapped by all; those that
 * are larger than 4 GB in float32 have one layer's bytes in all layers of the language model.
 *
 * Throws `OptionsError`, `LimitError` or `ContextOverflowError` for what cannot be asked, before
 * anything runs; what opening a model throws; and `SessionClosedError` when a process dies.
 */
export const measureSystems = async (
  candidates: readonly MeasuredCandidate[],
  request: MeasuredRequest,
  {
    rounds = 3,
    warmUp = 1,
    patienceMs = 0,
    signal,
    onProgress = () => {},
    ...engine
  }: MeasureOptions = {},
): Promise<BenchReport> => {
  checkOptions(candidates, rounds, warmUp);
  checkRequest(request);
  const prepared: Candidate[] = [];
  for (const candidate of candidates) prepared.push(await prepare(candidate, request));

  const folder = await mkdtemp(join(tmpdir(), "saccade-bench-"));
  const processes: MeasuredProcess[] = [];
  try {
    const numBytes = Math.max(...prepared.map(({ randomBytes }) => randomBytes));
    if (numBytes > 0) onProgress(`writing ${(numBytes / 1e9).toFixed(2)} GB of random weights`);
    const file =
      numBytes > 0
        ? await writeRandomWeights(join(folder, "weights.bin"), Math.min(numBytes, maxRandomBytes))
        : undefined;
    for (const { asked, request: own, sharesLayers } of prepared) {
      onProgress(`opening ${asked.name}`);
      const weights = file && { ...file, sharesLayers };
      const options = { ...engine, model: asked, request: own, ...(weights && { weights }) };
      processes.push(await openMeasuredProcess(options, signal));
    }
    // Numbers first would be reordered as keys; every name gets its index.
    const tasks = Object.fromEntries(
      processes.map((one, index) => [
        `#${index}`,
        async () => {
          const run = await one.run();
          return { ...run, milliseconds: run.firstTokenMs + run.decodeMs };
        },
      ]),
    );
    const { results, shareOfOthers } = await measureRounds(
      tasks,
      rounds,
      (round, times) => {
        const each = prepared.map(
          ({ asked }, index) => `${asked.name} ${(times[`#${index}`] / 1000).toFixed(2)} s`,
        );
        onProgress(`${round < 1 ? "warm-up" : `round ${round} of ${rounds}`}: ${each.join(", ")}`);
      },
      { warmUp, patienceMs },
    );
    const systems = prepared.map((candidate, index) => figuresOf(candidate, results[`#${index}`]));
    const { image, numFrames, textTokens, newTokens, granularity } = request;
    return {
      request: {
        image: { width: image.width, height: image.height },
        frames: numFrames ?? null,
        textTokens,
        newTokens,
        granularity: granularity ?? null,
      },
      machine: machine(engine),
      rounds,
      shareOfOthers,
      systems,
      ratios: ratiosOf(systems),
    };
  } finally {
    for (const one of processes) one.close();
    await rm(folder, { recursive: true, force: true });
  }
};
