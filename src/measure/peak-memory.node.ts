/** How much memory this process takes besides files that it maps. Linux alone tells. */
import { readFileSync, writeFileSync } from "node:fs";

/** Lines of this process's status, in bytes; undefined where there is none. */
const readStatus = (): ((name: string) => number) | undefined => {
  let text: string;
  try {
    text = readFileSync("/proc/self/status", "utf8");
  } catch {
    return undefined;
  }
  return (name) => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0);
};

/** Memory of its own that the process has now; undefined where the system does not say. */
export const ownMemoryBytes = (): number | undefined => readStatus()?.("RssAnon");

/** Makes the peak start anew. Where that is not allowed, it is the peak since the process began. */
export const resetPeak = (): void => {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
  } catch {
    // Not Linux, or a kernel without it.
  }
};

/**
 * Peak of the process's own memory: the highest total, less the mapped files as they are now. Exact when
 * all that is mapped was in memory already, else too small by what came later.
 */
export const peakOwnBytes = (): number | undefined => {
  const status = readStatus();
  return status && status("VmHWM") - status("RssFile") - status("RssShmem");
};
