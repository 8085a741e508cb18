/** The engine: symbolic tensors, operators, ONNX writing and sessions (DESIGN in ARCHITECTURE.md). */
export { anchorFeeds, cutGraph, type GraphStage } from "./cut-graph.js";
export * from "./engine.js";
export { type GradOptions, grad } from "./grad.js";
export { createGraph, type Graph } from "./graph.js";
export * from "./initializers.js";
export {
  inMemoryParameters,
  lowerGraph,
  type ParameterSource,
  type StoredParameter,
} from "./onnx/lower-graph.js";
export type { ExternalLocation } from "./onnx/onnx-messages.js";
export * from "./operators/index.js";
export * from "./shape.js";
export { constant, input, type Operation, Tensor } from "./tensor.js";
