import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { RunLockedError } from "../errors.js";

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // It exists, but belongs to somebody else.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
};

const ownLine = `${process.pid} ${hostname()}`;

/**
 * Reserves a run's folder for this process until the returned function is called. A lock of a process
 * of this machine that is no more is taken over. Throws `RunLockedError` where another one is at work.
 */
export const lockRun = async (folder: string): Promise<() => Promise<void>> => {
  const path = join(folder, "run.lock");
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(ownLine);
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
    }
    const [pid, host] = (await readFile(path, "utf8").catch(() => "")).split(" ");
    const isStale = host === undefined || (host === hostname() && !isAlive(Number(pid)));
    if (!isStale) {
      throw new RunLockedError(
        `lockRun: one process at a time may train in ${folder}, got process ${pid} on ${host}; stop it, or remove ${path} if it is no more`,
      );
    }
    await rm(path, { force: true });
  }
  throw new RunLockedError(
    `lockRun: one process at a time may train in ${folder}, and another one just began; wait for it`,
  );
};
