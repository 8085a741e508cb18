/** Opens a decoder's folder in a fresh process and says what that took, before anything is run. */
import { readFileSync } from "node:fs";
import { createDecoder } from "../src/generate/decoder.js";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { llamaNames, llamaParams } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import { locateForEngine } from "../src/load/located-tensors.node.js";
import { locateParameters } from "../src/load/parameter-source.js";
import { ParameterScope } from "../src/nn/parameter-scope.js";
import { openModelFolder } from "../src/weights/model-folder.node.js";
import { createRenameTable } from "../src/weights/rename.js";

export type OpenedFolder = {
  readonly openMs: number;
  /** Resident memory of the whole process, engine thread included. */
  readonly residentBytes: number;
  /** How much of it came with opening. */
  readonly grownBytes: number;
  /** Where Linux tells them apart: memory of this process alone, and mapped files. */
  readonly privateBytes?: number;
  readonly sharedBytes?: number;
  /** Time of the first token after it, when the weights are read for the first time. */
  readonly firstTokenMs: number;
};

/** Sums over all mappings of the process, in bytes; absent where there is no /proc. */
const readMappings = (): { privateBytes?: number; sharedBytes?: number } => {
  let text: string;
  try {
    text = readFileSync("/proc/self/smaps_rollup", "utf8");
  } catch {
    return {};
  }
  const sum = (kind: string): number =>
    [...text.matchAll(new RegExp(`^${kind}_(?:Clean|Dirty): +(\\d+) kB$`, "gm"))].reduce(
      (bytes, [, kilobytes]) => bytes + 1024 * Number(kilobytes),
      0,
    );
  return { privateBytes: sum("Private"), sharedBytes: sum("Shared") };
};

const [folder = ""] = process.argv.slice(2);
const beforeBytes = process.memoryUsage().rss;
const startedMs = performance.now();

const model = await openModelFolder(folder, { offline: true });
const config = parseLlamaConfig(model.config);
const params = llamaParams(new ParameterScope(), config);
const found = await locateForEngine(model.tensors);
const parameters = locateParameters(params, found, createRenameTable(llamaNames));
const engine = createNodeEngine();
const decoder = await createDecoder(
  engine,
  (graph) => engine.open(graph, parameters),
  params,
  config,
  { contextLength: 1024 },
);

const openMs = performance.now() - startedMs;
const residentBytes = process.memoryUsage().rss;
const mappings = readMappings();

const cache = await decoder.createCache(1, 64);
const runStartedMs = performance.now();
await decoder.prefill(cache, 0, await decoder.embed([1]));
const opened: OpenedFolder = {
  openMs,
  residentBytes,
  grownBytes: residentBytes - beforeBytes,
  ...mappings,
  firstTokenMs: performance.now() - runStartedMs,
};
console.log(JSON.stringify(opened));
await engine.close();
