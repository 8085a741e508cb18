/** Scenes in Node: with pixels and files. */
export { createContactSheet } from "./contact-sheet.node.js";
export * from "./index.js";
export { createSceneRenderer, type SceneRenderer } from "./render.node.js";
export { openScenes, type SceneReaderOptions } from "./scene-reader.node.js";
export { createSceneSheet, type SceneSheetOptions } from "./scene-sheet.node.js";
export {
  type WriteScenesOptions,
  type WriteScenesResult,
  writeScenes,
} from "./write-folder.node.js";
export { writeSceneTokenizer } from "./write-tokenizer.node.js";
