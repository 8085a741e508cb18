import { type FileHandle, mkdir, open } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { restartRecord, scalarsRecord, versionRecord } from "./event-file.js";
import type { RunEvent, RunLog } from "./run-log.js";

/** Names of a run's log and of the folder for TensorBoard, within its own folder. */
export const logFile = "log.jsonl";
export const eventFolder = "tensorboard";

/** What TensorBoard shows of an event. */
const scalarsOf = (event: RunEvent): Record<string, number> | undefined => {
  if (event.event === "validation") return { "validation/loss": event.loss };
  if (event.event !== "step") return undefined;
  const rates = Object.entries(event.rates).map(([group, rate]) => [`rate/${group}`, rate]);
  return {
    "train/loss": event.loss,
    "train/gradient_norm": event.gradientNorm,
    "speed/tokens_per_second": event.stepMs > 0 ? (1000 * event.tokens) / event.stepMs : 0,
    ...Object.fromEntries(rates),
  };
};

const endsMidLine = async (file: FileHandle): Promise<boolean> => {
  const { size } = await file.stat();
  if (size === 0) return false;
  const last = new Uint8Array(1);
  await file.read(last, 0, 1, size - 1);
  return last[0] !== "\n".charCodeAt(0);
};

/**
 * Opens a run's logs in `folder`: `log.jsonl`, appended to, and a new TensorBoard file. A line that a
 * kill cut short is ended, so that it spoils no other.
 */
export const openRunLog = async (folder: string): Promise<RunLog> => {
  const events = join(folder, eventFolder);
  await mkdir(events, { recursive: true });
  const lines = await open(join(folder, logFile), "a+");
  if (await endsMidLine(lines)) await lines.appendFile("\n");
  const seconds = Date.now() / 1000;
  const name = `events.out.tfevents.${seconds.toFixed(3)}.${hostname()}.${process.pid}`;
  const records = await open(join(events, name), "a");
  await records.appendFile(versionRecord(seconds));
  return {
    write: async (event) => {
      // One write call a line: the system appends it whole or, killed within, cuts it short.
      await lines.appendFile(`${JSON.stringify(event)}\n`);
      const time = Date.parse(event.time) / 1000;
      if (event.event === "resume") await records.appendFile(restartRecord(time, event.step + 1));
      const scalars = scalarsOf(event);
      if (scalars !== undefined) {
        await records.appendFile(scalarsRecord(time, event.step, scalars));
      }
    },
    flush: async () => {
      await lines.datasync();
      await records.datasync();
    },
    close: async () => {
      await lines.close();
      await records.close();
    },
  };
};
