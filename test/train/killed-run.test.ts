import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as esbuild from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "../../src/graph/initializers.js";
import { openCheckpoints } from "../../src/train/checkpoint.node.js";
import { parseRunLog, stepsOf } from "../../src/train/run-log.js";
import { logFile } from "../../src/train/run-log.node.js";

const numSteps = ["40", "80"] as const;
const kills = 10;

let root: string;
let script: string;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-killed-"));
  script = join(root, "run.mjs");
  // The engine finds its worker through the package, as if the bundle lay where its source does.
  const engineFile = fileURLToPath(new URL("../../src/graph/engine.node.ts", import.meta.url));
  await esbuild.build({
    entryPoints: [fileURLToPath(new URL("../support/tiny-run-process.ts", import.meta.url))],
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "silent",
    define: { "import.meta.url": JSON.stringify(pathToFileURL(engineFile).href) },
    // Some packages are CommonJS and ask for Node's modules by `require`.
    banner: {
      js: 'import * as modules from "node:module"; const require = modules.createRequire("file:///");',
    },
  });
});
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await rm(root, { recursive: true, force: true });
});

/** Starts the run; `killAfterMs` counts from its first log line. Returns whether it came to its end. */
const runUntilKilled = (folder: string, killAfterMs?: number): Promise<boolean> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, folder, ...numSteps]);
    children.add(child);
    let errors = "";
    child.stderr.on("data", (data) => {
      errors += data;
    });
    child.stdout.once("data", () => {
      if (killAfterMs !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
    });
    child.on("exit", (code, signal) => {
      children.delete(child);
      if (signal === "SIGKILL" || code === 0) resolve(code === 0);
      else reject(new Error(`run ended with ${code ?? signal}: ${errors}`));
    });
  });

const readHistory = async (folder: string) =>
  parseRunLog(await readFile(join(folder, logFile), "utf8"));

describe("a run killed at ten random moments", () => {
  it("gives the loss curve of the run that was left alone, and takes no half checkpoint", async () => {
    const [whole, killed] = [join(root, "whole"), join(root, "killed")];
    const startedMs = performance.now();
    expect(await runUntilKilled(whole)).toBe(true);
    const wholeMs = performance.now() - startedMs;

    const random = randomStream(Math.floor(startedMs));
    const delays: number[] = [];
    const restarts: number[] = [];
    while (delays.length < kills) {
      // Lives are shorter than the run, so that most of them end in its middle.
      const delayMs = random() * 0.3 * wholeMs;
      delays.push(Math.round(delayMs));
      if (await runUntilKilled(killed, delayMs)) break;
      const { checkpoint, passedOver } = await (
        await openCheckpoints(join(killed, "checkpoints"))
      ).newest();
      // A folder under a checkpoint's name is whole at every moment.
      expect(passedOver, `kills after ${delays} ms`).toEqual([]);
      restarts.push(checkpoint?.state.step ?? 0);
    }
    if (delays.length === kills) expect(await runUntilKilled(killed)).toBe(true);

    const diagnosis = `kills after ${delays} ms, resumed at ${restarts}`;
    expect(restarts.length, diagnosis).toBeGreaterThan(kills / 2);
    const [expected, history] = [await readHistory(whole), await readHistory(killed)];
    const curve = stepsOf(history).map(({ step, loss, gradientNorm }) => [
      step,
      loss,
      gradientNorm,
    ]);
    expect(curve, diagnosis).toEqual(
      stepsOf(expected).map(({ step, loss, gradientNorm }) => [step, loss, gradientNorm]),
    );
    expect(curve.length).toBe(120);

    // Steps that were taken more than once gave the same loss each time.
    const losses = new Map(stepsOf(expected).map(({ step, loss }) => [step, loss]));
    for (const line of (await readFile(join(killed, logFile), "utf8")).split("\n")) {
      const match = /"event":"step".*"loss":([^,]+).*"step":(\d+)\}$/.exec(line);
      if (match !== null) expect(Number(match[1])).toBe(losses.get(Number(match[2])));
    }
    // The final parameters are the same to the last bit, and nothing unfinished is left.
    const states = await Promise.all(
      [whole, killed].map((folder) =>
        readFile(join(folder, "checkpoints/step-0000000120/state.safetensors")),
      ),
    );
    expect(states[1].equals(states[0])).toBe(true);
    expect(
      (await readdir(join(killed, "checkpoints"))).every((name) => !name.startsWith(".")),
    ).toBe(true);
  });
});
