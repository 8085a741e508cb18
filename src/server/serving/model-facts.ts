/** What is known of a model before it is loaded. */
import { stat } from "node:fs/promises";
import { conventions } from "../../cost/convention.js";
import { kvBytesPerToken, stateBytesPerSequence } from "../../cost/kv-bytes.js";
import { planMedium } from "../../cost/planned-media.js";
import { parseContextLength } from "../../generate/assemble-model.js";
import { resolveModel } from "../../load/resolved-model.js";
import { openModelFolder } from "../../weights/model-folder.node.js";
import type { PoolOptions } from "./model-pool.js";
import { choicesOf } from "./token-choices.js";
import type { ServedModelInfo, WorkerStart } from "./worker-messages.js";

export type ModelFacts = {
  readonly info: ServedModelInfo;
  /** Bytes that it takes when it is loaded and everything it may keep is full. */
  readonly memoryBytes: number;
  /** Where its files lie. */
  readonly folder: string;
};

const defaultCacheBytes = 512 * 1024 * 1024;
/** Side of the image whose tokens are told as a first idea. */
const exampleSidePx = 512;

/** Looks at a model's folder; no weight is read. Throws what opening the folder throws. */
export const readModelFacts = async (
  { path, options }: WorkerStart,
  { numWorkers, maxSequences }: Pick<PoolOptions, "numWorkers" | "maxSequences">,
): Promise<ModelFacts> => {
  const open = (name: string) => openModelFolder(name, options);
  const resolved = await resolveModel(await open(path), open, options);
  const { tensors, system, processor, folder } = resolved;
  const { config, language, maxMedia } = system;
  let weightBytes = 0;
  for (const file of new Set([...tensors.values()].map((stored) => stored.file))) {
    weightBytes += (await stat(file)).size;
  }
  const contextLength = parseContextLength(options.contextLength, config.maxLength);
  const answers =
    maxSequences * (contextLength * kvBytesPerToken(language) + stateBytesPerSequence(language));
  const caches = (options.featureCacheBytes ?? defaultCacheBytes) + (options.prefixCacheBytes ?? 0);
  const example = planMedium({ width: exampleSidePx, height: exampleSidePx }, config, processor);
  const planRuns = system.createRunPlanner(conventions.true);
  return {
    info: {
      system: config.system,
      contextLength,
      maxMedia: Number.isFinite(maxMedia) ? maxMedia : null,
      choices: choicesOf(system),
      imageTokens: planRuns({ media: [example], textTokens: 0 }).visualTokens,
    },
    // Mapped weights are the same memory for all workers.
    memoryBytes: weightBytes + numWorkers * (answers + caches),
    folder: folder.path,
  };
};
