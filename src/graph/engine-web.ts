import { OptionsError, SessionClosedError } from "../errors.js";
import type { Engine, Provider } from "./engine.js";
import { createRemoteEngine } from "./remote-engine.js";
import { createHostClient, type WorkerReply } from "./worker-protocol.js";

export type WebEngineOptions = {
  /** `wasm` computes on the processor, `webgpu` on the graphics card. */
  readonly provider: Provider;
  /**
   * Threads for one operator of `wasm`. More than one needs shared memory, which browsers give to
   * cross-origin isolated pages only. Default: half of the processors and at most 4 where the page
   * is isolated, as ONNX Runtime itself; else 1.
   */
  readonly threads?: number;
  /** Weight files by the names that parameters are located by. */
  readonly files?: ReadonlyMap<string, Blob>;
  /**
   * Address (relative to the page) of the folder with ONNX Runtime's `ort-wasm-*` files. Default:
   * next to the script that ONNX Runtime was bundled into, where bundlers put them.
   */
  readonly wasmPaths?: string;
};

/** Each worker's address is written out, because that is how bundlers find the files to bundle. */
const startWorker: Readonly<Record<string, () => Worker>> = {
  wasm: () => new Worker(new URL("./session-worker-wasm.js", import.meta.url), { type: "module" }),
  webgpu: () =>
    new Worker(new URL("./session-worker-webgpu.js", import.meta.url), { type: "module" }),
};

const planThreads = (provider: Provider, threads: number | undefined): number => {
  const isIsolated = globalThis.crossOriginIsolated === true;
  if (threads === undefined) {
    // On a graphics card the processor only prepares the work.
    if (provider === "webgpu" || !isIsolated) return 1;
    return Math.min(4, Math.ceil(globalThis.navigator.hardwareConcurrency / 2));
  }
  if (!Number.isInteger(threads) || threads < 1) {
    throw new OptionsError(`createWebEngine: threads must be 1 or more, got ${threads}`);
  }
  if (threads > 1 && !isIsolated) {
    throw new OptionsError(
      `createWebEngine: threads must be 1 on a page that is not cross-origin isolated, got ${threads}; serve the page with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, or leave \`threads\` out`,
    );
  }
  return threads;
};

/**
 * An engine for browsers: ONNX Runtime in a worker, so that the page stays free. `engine.threads`
 * says how many threads it computes with. Throws `OptionsError` for a provider that browsers have
 * not got and for threads that this page may not use; a provider that this browser has not got is a
 * `ProviderUnavailableError` when the first graph is opened. There is no fallback.
 */
export const createWebEngine = (options: WebEngineOptions): Engine => {
  const { provider, files, wasmPaths } = options;
  if (!Object.hasOwn(startWorker, provider)) {
    throw new OptionsError(
      `createWebEngine: provider must be one of ${Object.keys(startWorker).join(", ")}, got "${provider}"`,
    );
  }
  const threads = planThreads(provider, options.threads);
  const worker = startWorker[provider]();
  const client = createHostClient((request) => worker.postMessage(request));
  worker.addEventListener("message", ({ data }: MessageEvent<WorkerReply>) => {
    client.receive(data);
  });
  worker.addEventListener("error", ({ message }) => {
    client.fail(
      new SessionClosedError(
        `engine: its worker failed: ${message || "its script could not be loaded; bundle session-worker-*.js next to the page's script"}`,
      ),
    );
  });
  return createRemoteEngine(
    client.host,
    {
      provider,
      threads,
      files: files ?? new Map(),
      ...(wasmPaths !== undefined && {
        wasmPaths: new URL(wasmPaths, globalThis.location.href).href,
      }),
    },
    async () => {
      worker.terminate();
      client.fail(new SessionClosedError("engine: it is closed; open a new one"));
    },
  );
};
