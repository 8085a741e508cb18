import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { parse } from "node:path";
import { Worker } from "node:worker_threads";
import * as errors from "../errors.js";
import type { Engine, Provider } from "./engine.js";
import { type AsyncHost, createRemoteEngine } from "./remote-engine.js";
import type { WorkerReply, WorkerRequest } from "./session-worker.node.js";

export type NodeEngineOptions = {
  readonly provider?: Provider;
  /** Threads for one operator; all processors when absent. */
  readonly threads?: number;
};

const nodeProviders: readonly Provider[] = ["cpu", "webgpu", "cuda"];

/** Rebuilds an error that crossed the thread boundary, with its class where it is one of ours. */
const revive = ({ name, message }: { name: string; message: string }): Error => {
  const known = (errors as unknown as Record<string, new (message: string) => Error>)[name];
  if (known !== undefined && name !== "WeightsMismatchError") return new known(message);
  return new errors.SaccadeError(message);
};

/**
 * An engine for Node: ONNX Runtime in a worker thread, so that the calling thread stays free.
 * Throws `OptionsError` for a provider that Node has not got; a provider that this machine has not
 * got is a `ProviderUnavailableError` when the first graph is opened. There is no fallback.
 */
export const createNodeEngine = ({
  provider = "cpu",
  threads = availableParallelism(),
}: NodeEngineOptions = {}): Engine => {
  if (!nodeProviders.includes(provider)) {
    throw new errors.OptionsError(
      `createNodeEngine: provider must be one of ${nodeProviders.join(", ")}, got "${provider}"`,
    );
  }
  if (!Number.isInteger(threads) || threads < 1) {
    throw new errors.OptionsError(`createNodeEngine: threads must be 1 or more, got ${threads}`);
  }
  // By the package's own name for it: the built file, also when the sources run uncompiled.
  const worker = new Worker(createRequire(import.meta.url).resolve("#session-worker"));
  const pending = new Map<
    number,
    { resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  let nextId = 1;
  let dead: Error | undefined;

  const fail = (error: Error): void => {
    dead = error;
    for (const { reject } of pending.values()) reject(error);
    pending.clear();
  };
  worker.on("message", (reply: WorkerReply) => {
    const waiting = pending.get(reply.id);
    pending.delete(reply.id);
    // An idle engine does not keep the process alive.
    if (pending.size === 0) worker.unref();
    if ("error" in reply) waiting?.reject(revive(reply.error));
    else waiting?.resolve(reply.result as never);
  });
  worker.on("error", (cause) => {
    fail(new errors.SessionClosedError(`engine: its thread failed: ${cause}`, { cause }));
  });
  worker.on("exit", (code) => {
    fail(new errors.SessionClosedError(`engine: its thread ended with code ${code}`));
  });
  worker.unref();

  const call =
    (method: keyof AsyncHost) =>
    (...parameters: readonly unknown[]): Promise<never> =>
      new Promise((resolve, reject) => {
        if (dead !== undefined) {
          reject(dead);
          return;
        }
        const id = nextId++;
        pending.set(id, { resolve, reject });
        worker.ref();
        worker.postMessage({ id, method, parameters } satisfies WorkerRequest);
      });
  const host: AsyncHost = {
    open: call("open"),
    run: call("run"),
    close: call("close"),
    allocate: call("allocate"),
    copy: call("copy"),
    read: call("read"),
    release: call("release"),
    closeAll: call("closeAll"),
  };
  const mappedFrom = parse(process.cwd()).root;
  return createRemoteEngine(host, { provider, threads, mappedFrom }, async () => {
    await worker.terminate();
  });
};
