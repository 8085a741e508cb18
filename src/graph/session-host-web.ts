/** The worker's side of a browser engine, whichever build of ONNX Runtime it is made with. */
import type { Env } from "onnxruntime-common";
import { ProviderUnavailableError } from "../errors.js";
import { EngineHost, type OnnxRuntime, type OpenRequest } from "./engine-host.js";
import { serveHost, type WorkerRequest } from "./worker-protocol.js";

type WebRuntime = OnnxRuntime & { readonly env: Env };

/**
 * Whether this worker is one of those that ONNX Runtime starts for its own threads. It starts them
 * from the script that it was bundled into, which then is ours: they must not answer our messages.
 */
const isRuntimeThread = (): boolean => globalThis.self.name.startsWith("em-pthread");

/** Settings that ONNX Runtime reads once, before the first session. */
const configure = ({ env }: WebRuntime, { threads, wasmPaths }: OpenRequest): void => {
  env.logLevel = "error";
  env.wasm.numThreads = threads;
  if (wasmPaths !== undefined) env.wasm.wasmPaths = wasmPaths;
};

class WebEngineHost extends EngineHost {
  private ready: Promise<void> | undefined;

  constructor(private readonly web: WebRuntime) {
    super(web, false);
  }

  override async open(request: OpenRequest): Promise<number> {
    this.ready ??= this.prepare(request);
    await this.ready;
    return super.open(request);
  }

  /** Throws where there is no adapter: told apart here from everything else that may fail later. */
  private async prepare(request: OpenRequest): Promise<void> {
    configure(this.web, request);
    if (request.provider !== "webgpu") return;
    const adapter = await globalThis.navigator.gpu?.requestAdapter();
    if (adapter) return;
    throw new ProviderUnavailableError(
      `open: provider "webgpu" cannot be used here (${globalThis.navigator.gpu ? "this browser offers no GPU adapter" : "this browser has no WebGPU, or the page is not in a secure context"}); choose "wasm"`,
    );
  }
}

/** Answers the page's requests with `runtime`. */
export const serveWebHost = (runtime: WebRuntime): void => {
  if (isRuntimeThread()) return;
  const { self } = globalThis;
  const serve = serveHost(new WebEngineHost(runtime), (reply, transfer) =>
    self.postMessage(reply, { transfer }),
  );
  self.addEventListener("message", ({ data }: MessageEvent<WorkerRequest>) => serve(data));
};
