/** Saccade in any JavaScript runtime. `saccade/node` adds files and the Node engine, `saccade/web` the browser's. */
export {
  type AnsweredSequence,
  placesWhere,
  readAnsweredSequence,
  type SequenceToken,
  type TokenClass,
  tokenClasses,
} from "./analyze/answered-sequence.js";
export {
  attentionByClass,
  type ByClass,
  entropyByClass,
  totalEntropy,
} from "./analyze/attention-by-class.js";
export { type ExplainOptions, type Explanation, explainAnswer } from "./analyze/explanation.js";
export type { HeatMaps } from "./analyze/heat-maps.js";
export { answerWithHidden, type HiddenAnswer } from "./analyze/hidden-answer.js";
export {
  type CompressorAttention,
  compressorAttention,
  type FusionAttention,
  fusionAttention,
} from "./analyze/llava-mini-attention.js";
export {
  type AttentionMap,
  createSequenceProbe,
  type HiddenTokens,
  type SequenceProbe,
} from "./analyze/sequence-probe.js";
export { dropVisionByLayers, type VisionDropping } from "./analyze/vision-dropping.js";
export { measureViewUse, type ViewUse, visualAttention } from "./analyze/visual-attention.js";
export {
  type ConventionName,
  type CostConvention,
  conventions,
} from "./cost/convention.js";
export { drawCostCharts } from "./cost/cost-charts.js";
export {
  type CostEstimator,
  type CostModel,
  type CostOptions,
  type CostReport,
  type CostRequest,
  createCostEstimator,
  estimateCost,
} from "./cost/cost-report.js";
export * from "./errors.js";
export * from "./generate/answer.js";
export { type AnsweredRequest, estimateAnswerCost } from "./generate/answer-cost.js";
export type { Media, MediaReport } from "./generate/media.js";
export {
  type Conversation,
  collectAnswer,
  type PromptCount,
  type VisionLanguageModel,
} from "./generate/model.js";
export type { SamplingOptions } from "./generate/sampling.js";
export type { Engine, Provider } from "./graph/engine.js";
export type { RgbImage } from "./image/image.js";
export {
  countSliceTokens,
  merge4,
  merge16,
  planSlices,
  type SliceOptions,
  type SlicePlan,
  type SliceView,
  type ViewReduction,
} from "./image/slice-plan.js";
export {
  isRefused,
  type PublishedPlan,
  planPublished,
  type RefusedPlan,
} from "./load/published-plans.js";
export { type PublishedSize, publishedModel } from "./load/published-sizes.js";
export {
  type AvgLlavaVariant,
  fixedAvgLlava,
  releasedAvgLlava,
} from "./systems/avg-llava-config.js";
export {
  type LlavaMiniVariant,
  paperLlavaMini,
  releasedLlavaMini,
} from "./systems/llava-mini-config.js";
export type { TokenChoice, TokenOptions, TokenRoute } from "./systems/token-choice.js";
export * from "./tensor-data.js";
export type { ChatMessage, ContentPart } from "./text/chat-message.js";
export { parseRecipe, type Recipe } from "./train/recipe.js";
export { type RunOptions, type RunResult, trainRun } from "./train/run.js";
export type { RunEvent, RunLog } from "./train/run-log.js";
