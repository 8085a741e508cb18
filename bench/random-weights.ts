/** Random weights of a benchmark, in a folder that goes with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ParameterSource } from "../src/graph/index.js";
import { randomParameters, writeRandomWeights } from "../src/measure/random-weights.node.js";

export { randomFloats } from "../src/measure/random-weights.node.js";

/** A temporary folder that goes when the process ends, also by an interruption. */
export const createTemporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), "saccade-bench-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
  return folder;
};

export type RandomWeights = {
  /** As `randomParameters`. */
  source(sharedName?: (name: string) => string): ParameterSource;
};

/** Writes a file of at least `numBytes` random bytes (as float32) into a temporary folder. */
export const createRandomWeights = async (numBytes: number): Promise<RandomWeights> => {
  const path = join(createTemporaryFolder(), "weights.bin");
  const file = await writeRandomWeights(path, numBytes);
  return { source: (sharedName) => randomParameters(file, sharedName) };
};
