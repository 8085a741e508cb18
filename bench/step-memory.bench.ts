/** Memory of a training step as `saccade train --dry-run` predicts it, against the peak of a process that takes steps. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Figure, note, printReport } from "./report.js";
import { memoryCases } from "./step-memory-cases.js";

type Measured = {
  readonly measuredBytes: number;
  readonly totalBytes: number;
  readonly parameters: number;
};

const figures: Figure[] = [];
for (const name of Object.keys(memoryCases)) {
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--expose-gc",
    "--import",
    fileURLToPath(new URL("../scripts/typescript.mjs", import.meta.url)),
    fileURLToPath(new URL("step-memory-run.ts", import.meta.url)),
    name,
  ]);
  const { measuredBytes, totalBytes, parameters } = JSON.parse(stdout) as Measured;
  note(
    `step-memory: ${name}: ${(totalBytes / 1e6).toFixed(0)} MB predicted, ${(measuredBytes / 1e6).toFixed(0)} MB measured`,
  );
  figures.push(
    {
      name: `${name}: off by, of the measured peak`,
      value: Math.abs(totalBytes / measuredBytes - 1),
      unit: "x",
      target: { below: 0.25 },
    },
    { name: `${name}: predicted`, value: totalBytes / 1e6, unit: "MB" },
    { name: `${name}: measured`, value: measuredBytes / 1e6, unit: "MB" },
    { name: `${name}: parameters`, value: parameters / 1e6, unit: "M" },
  );
}
printReport({
  benchmark: "step-memory",
  about: "peak memory of training steps in a process of their own, over what it had before",
  setting: { provider: "cpu" },
  figures,
});
