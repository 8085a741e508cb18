import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { parse } from "node:path";
import { Worker } from "node:worker_threads";
import { OptionsError, SessionClosedError } from "../errors.js";
import type { Engine, Provider } from "./engine.js";
import { createRemoteEngine } from "./remote-engine.js";
import { createHostClient, type WorkerReply } from "./worker-protocol.js";

export type NodeEngineOptions = {
  readonly provider?: Provider;
  /** Threads for one operator; all processors when absent. */
  readonly threads?: number;
};

const nodeProviders: readonly Provider[] = ["cpu", "webgpu", "cuda"];

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
    throw new OptionsError(
      `createNodeEngine: provider must be one of ${nodeProviders.join(", ")}, got "${provider}"`,
    );
  }
  if (!Number.isInteger(threads) || threads < 1) {
    throw new OptionsError(`createNodeEngine: threads must be 1 or more, got ${threads}`);
  }
  // By the package's own name for it: the built file, also when the sources run uncompiled. Node's
  // options are meant for the caller's script (`--input-type`, loaders); some break a worker's.
  const worker = new Worker(createRequire(import.meta.url).resolve("#session-worker"), {
    execArgv: [],
  });
  const client = createHostClient((request) => {
    // An engine at work keeps the process alive, an idle one does not.
    worker.ref();
    worker.postMessage(request);
  });
  worker.on("message", (reply: WorkerReply) => {
    if (client.receive(reply) === 0) worker.unref();
  });
  worker.on("error", (cause) => {
    client.fail(new SessionClosedError(`engine: its thread failed: ${cause}`, { cause }));
  });
  worker.on("exit", (code) => {
    client.fail(new SessionClosedError(`engine: its thread ended with code ${code}`));
  });
  worker.unref();
  const mappedFrom = parse(process.cwd()).root;
  return createRemoteEngine(client.host, { provider, threads, mappedFrom }, async () => {
    await worker.terminate();
  });
};
