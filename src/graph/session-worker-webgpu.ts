/** The worker of a browser engine that computes with WebGPU, by the same kernels as in Node. */
import * as runtime from "onnxruntime-web/webgpu";
import { serveWebHost } from "./session-host-web.js";

serveWebHost(runtime);
