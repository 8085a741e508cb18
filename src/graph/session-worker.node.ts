/** The thread that holds ONNX Runtime in Node: `run` blocks its thread, so it is never the main one. */
import { parentPort } from "node:worker_threads";
import * as onnxRuntime from "onnxruntime-node";
import { SaccadeError } from "../errors.js";
import { EngineHost } from "./engine-host.js";
import type { AsyncHost } from "./remote-engine.js";

export type WorkerRequest = {
  readonly id: number;
  readonly method: keyof AsyncHost;
  readonly parameters: readonly unknown[];
};

export type WorkerReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } };

const port = parentPort;
if (port === null) throw new SaccadeError("session-worker: must run as a worker thread");
const host = new EngineHost(onnxRuntime as unknown as ConstructorParameters<typeof EngineHost>[0]);

/** The buffers of a result, which can move to the other thread instead of being copied. */
const buffersOf = (result: unknown): ArrayBuffer[] => {
  if (result === null || typeof result !== "object") return [];
  return Object.values(result)
    .map((value) => (value as { data?: { buffer?: unknown } } | null)?.data?.buffer)
    .filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer);
};

// One at a time and in order: sessions share the same cores, and caches depend on the order.
let previous: Promise<void> = Promise.resolve();
port.on("message", ({ id, method, parameters }: WorkerRequest) => {
  previous = previous.then(async () => {
    try {
      const call = host[method] as (...values: readonly unknown[]) => unknown;
      const result = await call.apply(host, [...parameters]);
      port.postMessage({ id, result } satisfies WorkerReply, buffersOf(result));
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      port.postMessage({ id, error: { name, message } } satisfies WorkerReply);
    }
  });
});
