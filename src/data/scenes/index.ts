/** Scenes: generated images and clips with exact questions and answers. The part that runs anywhere. */
export { describeScene } from "./descriptions.js";
export { layOutScene, numFramesOf } from "./layout.js";
export {
  createRecords,
  type RecordContent,
  recordContents,
  type SceneRecord,
} from "./llava-records.js";
export type { Mark } from "./mark.js";
export { categories, objectClasses, shapeNames } from "./object-classes.js";
export { type FamilyPrior, measurePriors } from "./priors.js";
export { families, type QuestionOptions, questionsFor } from "./questions/index.js";
export type { Fineness, Question } from "./questions/question.js";
export { type SceneKey, type SceneKind, type Split, sceneKinds, splits } from "./random.js";
export { type SceneOptions, sampleScene, scenesVersion } from "./sample.js";
export { detailTypes, mostPanels } from "./sample-detail.js";
export { type Scene, sceneId, themes } from "./scene.js";
export { formatText, type SceneText, sampleText } from "./texts.js";
export { buildSceneTokenizer, sceneVocabularySize, sceneWords } from "./vocabulary.js";
