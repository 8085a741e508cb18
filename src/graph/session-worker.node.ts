/** The thread that holds ONNX Runtime in Node: `run` blocks its thread, so it is never the main one. */
import { parentPort } from "node:worker_threads";
import * as onnxRuntime from "onnxruntime-node";
import { SaccadeError } from "../errors.js";
import { EngineHost, type OnnxRuntime } from "./engine-host.js";
import { serveHost } from "./worker-protocol.js";

const port = parentPort;
if (port === null) throw new SaccadeError("session-worker: must run as a worker thread");
const host = new EngineHost(onnxRuntime as unknown as OnnxRuntime);
port.on(
  "message",
  serveHost(host, (reply, moved) => port.postMessage(reply, moved)),
);
