/**
 * A process of its own, because the graphics driver is chosen when ONNX Runtime is loaded: verifies
 * the recorded folder named on the command line on WebGPU, prints the result as JSON, and leaves the
 * runtime's log, which says where each node is computed, on stderr.
 */
import * as onnxRuntime from "onnxruntime-node";
import { EngineHost, type OnnxRuntime } from "../../src/graph/engine-host.js";
import { type AsyncHost, createRemoteEngine } from "../../src/graph/remote-engine.js";
import { locateForEngine } from "../../src/load/located-tensors.node.js";
import { verifyRecordedFolder } from "../../src/verify/recorded-folder.js";
import { readRecorded } from "../../src/verify/verify-folder.node.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";

const runtime = onnxRuntime as unknown as OnnxRuntime;
const verbose: OnnxRuntime = {
  Tensor: runtime.Tensor,
  InferenceSession: {
    create: (model, options) =>
      runtime.InferenceSession.create(model, { ...options, logSeverityLevel: 0 }),
  },
};
const path = process.argv[2];
const folder = await openModelFolder(path, { offline: true });
const engine = createRemoteEngine(new EngineHost(verbose) as unknown as AsyncHost, {
  provider: "webgpu",
  threads: 1,
  mappedFrom: "/",
});
const result = await verifyRecordedFolder(
  folder,
  await readRecorded(path),
  await locateForEngine(folder.tensors),
  engine,
  async () => undefined,
);
process.stdout.write(JSON.stringify(result));
