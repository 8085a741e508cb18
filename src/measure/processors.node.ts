/** Who uses the processors: this process, or others that would spoil what is measured. */
import { availableParallelism, cpus } from "node:os";
import { setTimeout } from "node:timers/promises";

/** Share of the processors that others may have before a measurement is not to be trusted. */
export const quietShare = 0.04;

const busyMs = (): number =>
  cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0);

const ownMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/**
 * Starts watching. The function it returns gives the share of all processors that others have used
 * since; `knownMs` is processor time of other processes that belongs to what is measured.
 */
export const watchOthers = (): ((knownMs: number) => number) => {
  const start = { wall: performance.now(), busy: busyMs(), own: ownMs() };
  return (knownMs) => {
    const othersMs = busyMs() - start.busy - (ownMs() - start.own) - knownMs;
    const allMs = (performance.now() - start.wall) * availableParallelism();
    return Math.max(0, othersMs / allMs);
  };
};

/** Waits until others leave the processors alone, at most `patienceMs`. */
export const waitForQuiet = async (patienceMs: number): Promise<void> => {
  const deadline = performance.now() + patienceMs;
  do {
    const others = watchOthers();
    await setTimeout(400);
    if (others(0) <= quietShare) return;
  } while (performance.now() < deadline);
};
