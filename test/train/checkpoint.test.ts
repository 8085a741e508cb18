import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  truncate,
  writeFile,
} from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { CheckpointError, RunLockedError } from "../../src/errors.js";
import { float32 } from "../../src/tensor-data.js";
import type { Checkpoint, CheckpointStore } from "../../src/train/checkpoint.js";
import { openCheckpoints } from "../../src/train/checkpoint.node.js";
import { lockRun } from "../../src/train/run-lock.node.js";
import { parseRunLog, type RunEvent } from "../../src/train/run-log.js";
import { eventFolder, logFile, openRunLog } from "../../src/train/run-log.node.js";

let base: string;
let root: string;
let count = 0;
beforeAll(async () => {
  base = await mkdtemp(join(tmpdir(), "saccade-checkpoints-"));
});
beforeEach(async () => {
  count += 1;
  root = join(base, String(count));
});
afterAll(() => rm(base, { recursive: true, force: true }));

const checkpointAt = (step: number, values: readonly number[] = [step, -0, 0.1]): Checkpoint => ({
  state: {
    step,
    stageIndex: 1,
    stage: "tuning",
    stageStep: step - 1,
    data: { drawn: step * 4, nested: [1, null, "é", 0.1, true] },
    recipe: { name: "tiny", stages: [{ steps: 9 }] },
  },
  tensors: new Map([
    ["language.head", float32([values.length], values)],
    ["adamw.first.language.head", float32([1, 2], [step, 1e-38])],
  ]),
});

const saveAll = async (steps: readonly number[], keep = 9): Promise<CheckpointStore> => {
  const store = await openCheckpoints(root);
  for (const step of steps) await store.save(checkpointAt(step), keep);
  return store;
};

const folder = (step: number): string => join(root, `step-${String(step).padStart(10, "0")}`);

describe("checkpoints", () => {
  it("come back as they were saved, to the last bit", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.float(), { minLength: 1 }),
        fc.jsonValue(),
        async (values, data) => {
          const store = await openCheckpoints(root);
          const { state, tensors } = checkpointAt(3, values);
          // What JSON itself does to a value (-0 becomes 0) happened before.
          const json = JSON.parse(JSON.stringify(data));
          await store.save({ state: { ...state, data: json }, tensors }, 1);
          const { checkpoint } = await store.newest();
          expect(checkpoint?.state).toEqual({ ...state, data: json });
          expect(checkpoint?.tensors).toEqual(tensors);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("are kept up to the number asked for, the newest first", async () => {
    const store = await saveAll([2, 4, 100, 1000], 2);
    expect(await readdir(root)).toEqual(["step-0000000100", "step-0000001000"]);
    expect((await store.newest()).checkpoint?.state.step).toBe(1000);
    await expect(store.save(checkpointAt(1001), 0)).rejects.toThrow(CheckpointError);
  });

  it("are none where none was saved", async () => {
    expect(await (await openCheckpoints(root)).newest()).toEqual({ passedOver: [] });
  });

  const damages: Record<string, (path: string) => Promise<void>> = {
    "no manifest": (path) => rm(join(path, "manifest.json")),
    "half a manifest": (path) => truncate(join(path, "manifest.json"), 60),
    "an empty manifest": (path) => truncate(join(path, "manifest.json"), 0),
    "no tensors": (path) => rm(join(path, "state.safetensors")),
    "tensors cut short": (path) => truncate(join(path, "state.safetensors"), 100),
    "a changed bit in the tensors": async (path) => {
      const bytes = await readFile(join(path, "state.safetensors"));
      bytes[bytes.length - 1] ^= 1;
      await writeFile(join(path, "state.safetensors"), bytes);
    },
    "the tensors of another step": (path) =>
      copyFile(join(folder(2), "state.safetensors"), join(path, "state.safetensors")),
    "another recipe than was hashed": async (path) => {
      const text = await readFile(join(path, "manifest.json"), "utf8");
      await writeFile(join(path, "manifest.json"), text.replace('"steps": 9', '"steps": 8'));
    },
  };
  it.each(Object.keys(damages))("with %s are passed over, and it is said why", async (damage) => {
    const store = await saveAll([2, 5]);
    await damages[damage](folder(5));
    const { checkpoint, passedOver } = await store.newest();
    expect(checkpoint?.state.step).toBe(2);
    expect(passedOver).toHaveLength(1);
    expect(passedOver[0]).toContain(folder(5));
    // Saved again, the step replaces the damaged folder.
    await store.save(checkpointAt(5), 9);
    expect(await store.newest()).toMatchObject({
      checkpoint: { state: { step: 5 } },
      passedOver: [],
    });
  });

  it("that were being written or removed when the process ended are swept away", async () => {
    await saveAll([2]);
    await mkdir(join(root, ".step-0000000004.x.writing"));
    await mkdir(join(root, ".step-0000000001.x.discarded"));
    await mkdir(join(root, "notes"));
    const { checkpoint } = await (await openCheckpoints(root)).newest();
    expect(checkpoint?.state.step).toBe(2);
    expect(await readdir(root)).toEqual(["notes", "step-0000000002"]);
  });

  it("that cannot be written leave the older ones as they are", async () => {
    const store = await saveAll([2]);
    const broken = checkpointAt(4);
    const tensors = new Map([["short", { ...float32([2], [1, 2]), shape: [3] }]]);
    await expect(store.save({ ...broken, tensors }, 1)).rejects.toThrow(CheckpointError);
    expect(await readdir(root)).toEqual(["step-0000000002"]);
  });
});

describe("a run's folder", () => {
  it("belongs to one process at a time; what a dead one left behind is taken over", async () => {
    await mkdir(root, { recursive: true });
    const unlock = await lockRun(root);
    await expect(lockRun(root)).rejects.toThrow(RunLockedError);
    await unlock();
    // Process numbers end far below this one.
    await writeFile(join(root, "run.lock"), `999999999 ${hostname()}`);
    await (await lockRun(root))();
    await writeFile(join(root, "run.lock"), "1 another-machine");
    await expect(lockRun(root)).rejects.toThrow(/run\.lock/);
  });
});

describe("a run's log", () => {
  const time = "2024-01-01T00:00:00.000Z";
  const stepEvent = (step: number, loss: number): RunEvent => ({
    time,
    event: "step",
    stage: "tuning",
    stageStep: step,
    stageSteps: 10,
    loss,
    gradientNorm: 1,
    rates: { all: 1e-3 },
    tokens: 5,
    stepMs: 10,
    dataMs: 0,
    step,
  });

  it("forgets what came after the step that a run goes on from", async () => {
    const log = await openRunLog(root);
    await log.write({ time, event: "start", recipe: "tiny", step: 0 });
    for (const step of [1, 2, 3]) await log.write(stepEvent(step, step));
    await log.write({ time, event: "resume", recipe: "tiny", step: 2 });
    await log.write(stepEvent(3, 30));
    await log.close();
    const { events, brokenLines } = parseRunLog(await readFile(join(root, logFile), "utf8"));
    expect(brokenLines).toBe(0);
    expect(events.map(({ event, step }) => `${event} ${step}`)).toEqual([
      "start 0",
      "step 1",
      "step 2",
      "resume 2",
      "step 3",
    ]);
    expect(events.at(-1)).toMatchObject({ loss: 30 });
  });

  it("is never rewritten, and a line cut short spoils no other", async () => {
    const log = await openRunLog(root);
    await log.write(stepEvent(1, 0.1));
    await log.close();
    const whole = await readFile(join(root, logFile), "utf8");
    await writeFile(join(root, logFile), whole + whole.slice(0, 40));
    const again = await openRunLog(root);
    await again.write(stepEvent(2, 1 / 3));
    await again.close();
    const text = await readFile(join(root, logFile), "utf8");
    expect(text.startsWith(whole + whole.slice(0, 40))).toBe(true);
    const { events, brokenLines } = parseRunLog(text);
    expect(brokenLines).toBe(1);
    expect(events).toMatchObject([{ loss: 0.1 }, { loss: 1 / 3 }]);
    // Every start writes a TensorBoard file of its own.
    expect(await readdir(join(root, eventFolder))).toHaveLength(2);
  });
});
