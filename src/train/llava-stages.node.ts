/** LLaVA, LLaVA-NeXT, LLaVA-Mini and AVG-LLaVA in training: samples of one image, padded to a few lengths. */
import { RecipeError } from "../errors.js";
import { imageLayouts, mostViews } from "../systems/image-layouts.js";
import { createImageProcessing } from "../systems/image-processing.js";
import type { BatchShape } from "../systems/labelled-batch.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import type { LlavaMiniConfig } from "../systems/llava-mini-config.js";
import { type ConversationBatch, createConversationBatches } from "./conversation-batches.js";
import type { StageRecipe } from "./recipe-schema.js";
import { createPixelLoader } from "./sample-pixels.node.js";
import type { StageFamily } from "./stage-family.js";
import type { StartingModel } from "./starting-model.node.js";
import { llavaObjective } from "./vision-language-trainable.js";

const isMini = (config: LlavaConfig): config is LlavaMiniConfig => config.system === "llava-mini";

/** The forward pass that a stage trains: LLaVA-Mini's alignment has no compression yet. */
const configOf = (config: LlavaConfig, { visionTokens }: StageRecipe): LlavaConfig =>
  visionTokens === "all" && isMini(config) ? { ...config, system: "llava" } : config;

/** Tokens of an image in the language model, or the most where images differ. */
const tokensPerImage = (config: LlavaConfig): number =>
  isMini(config)
    ? config.compressorSide ** 2
    : Math.max(...imageLayouts(config).map(({ mostRows }) => mostRows));

export const llavaStageFamily = (
  modelConfig: LlavaConfig,
  { tokenizer, processor, adapterOf }: Pick<StartingModel, "tokenizer" | "processor" | "adapterOf">,
): StageFamily<ConversationBatch, BatchShape> => ({
  createObjective: (stage, trained) => {
    const { objective, ranking } = stage;
    if (stage.printWeight !== undefined) {
      throw new RecipeError(
        `llavaStageFamily: printWeight of stage "${stage.name}" needs a model that takes images in slices, got ${modelConfig.system}; leave it out`,
      );
    }
    return llavaObjective(configOf(modelConfig, stage), {
      isFed: (name) => trained.has(name),
      adapterOf,
      objective,
      ...(ranking && { ranking }),
      trainsEmbeddings: trained.has("language.embedding"),
    });
  },
  createBatches: async ({ stage, reader, report, labels, seed }) => {
    const config = configOf(modelConfig, stage);
    const batches = await createConversationBatches({
      reader,
      report,
      labels: { ...labels, mediaTokens: () => tokensPerImage(config) },
      padId: tokenizer.padId ?? tokenizer.eosId ?? 0,
      batchSize: stage.batchSize,
      seed,
      buckets: { maxBuckets: stage.data.buckets },
      loadPixels: createPixelLoader(createImageProcessing(config, processor)),
      ...(!isMini(config) && { numViews: mostViews(config) }),
    });
    return {
      next: () => batches.next(),
      state: () => batches.state(),
      restore: (state) => batches.restore(state),
      batchesPerEpoch: batches.batchesPerEpoch,
      planned: batches.shapes.map(({ mostJudged, ...shape }) => ({
        shape: { batch: stage.batchSize, ...shape },
        bindings: { J: mostJudged },
      })),
    };
  },
});
