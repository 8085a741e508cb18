/** Saccade in Node: models from folders and the hub, images and videos from files. */
export { type LoadModelOptions, loadModel } from "./generate/load-model.node.js";
export { createNodeEngine, type NodeEngineOptions } from "./graph/engine.node.js";
export { decodeImage } from "./image/decode.node.js";
export * from "./index.js";
export {
  type ModelContents,
  type WrittenModel,
  writeModel,
} from "./load/model-writer.node.js";
export { initParameters, writeNewModel } from "./load/new-model.node.js";
export { type ModelSettings, type PresetName, presets } from "./load/presets.js";
export { openCheckpoints } from "./train/checkpoint.node.js";
export { mergeAdapterIntoFolder } from "./train/merged-model.node.js";
export { openRunLog } from "./train/run-log.node.js";
export {
  openVisionLanguageStages,
  type VisionLanguageStages,
  type VisionLanguageStagesOptions,
} from "./train/vision-language-stages.node.js";
export { compareRecorded, type VerifyResult } from "./verify/verify.js";
export { type VerifyOptions, verifyFolder } from "./verify/verify-folder.node.js";
export { type OpenVideoOptions, openVideo } from "./video/decode-video.node.js";
export { type ModelFolder, openModelFolder } from "./weights/model-folder.node.js";
