/** How fast the machine reads memory, without any arithmetic: a byte is searched that is not there. */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";

const searcher = `
const { parentPort, workerData } = require("node:worker_threads");
const part = Buffer.from(workerData.memory, workerData.start, workerData.length);
parentPort.on("message", () => parentPort.postMessage(part.indexOf(2)));
`;

/** `numBytes` of memory, read by a thread for each processor at once. */
export const openMemoryRead = (numBytes: number) => {
  const threads = availableParallelism();
  const length = Math.floor(numBytes / threads);
  const memory = new SharedArrayBuffer(length * threads);
  new Uint8Array(memory).fill(1);
  const workers = Array.from(
    { length: threads },
    (_, index) =>
      new Worker(searcher, { eval: true, workerData: { memory, start: index * length, length } }),
  );
  const searchPart = (worker: Worker): Promise<void> =>
    new Promise((resolve, reject) => {
      worker.once("message", (found: number) => {
        if (found === -1) resolve();
        else reject(new Error(`memory read: found a byte at ${found} that was never written`));
      });
      worker.postMessage("search");
    });
  return {
    numBytes: memory.byteLength,
    run: async (): Promise<undefined> => {
      await Promise.all(workers.map(searchPart));
      return undefined;
    },
    close: async (): Promise<void> => {
      for (const worker of workers) await worker.terminate();
    },
  };
};
