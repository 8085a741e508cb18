/** The worker of a browser engine that computes in WebAssembly. */
import * as runtime from "onnxruntime-web/wasm";
import { serveWebHost } from "./session-host-web.js";

serveWebHost(runtime);
