/** Saccade in browsers: the WebAssembly and WebGPU engine, models from addresses and chosen files. */
export { type LoadWebModelOptions, loadModel } from "./generate/load-model-web.js";
export { createWebEngine, type WebEngineOptions } from "./graph/engine-web.js";
export { decodeImage } from "./image/decode-web.js";
export * from "./index.js";
export { openWebFolder, type WebFolder, type WebFolderSource } from "./load/folder-web.js";
export { compareRecorded, type VerifyResult, verifyModel } from "./verify/verify.js";
export { type VerifyWebOptions, verifyWebFolder } from "./verify/verify-folder-web.js";
export { openVideo } from "./video/decode-video-web.js";
export type { FetchOptions, FetchProgress, GivenFiles } from "./weights/folder-files-web.js";
export type { ModelFolder } from "./weights/model-folder.js";
