/** Training batches of drawn scenes, as a run of `saccade train` prepares them. */
import { readFile } from "node:fs/promises";
import { openDataMix } from "../src/data/open-dataset.node.js";
import { createReadReport } from "../src/data/read-report.js";
import { clipConfig } from "../src/image/clip-config.js";
import { clipProcessing } from "../src/systems/image-processing.js";
import { llavaTemplates } from "../src/text/llava-templates.js";
import { createTokenizer } from "../src/text/tokenizer.js";
import {
  type ConversationBatches,
  createConversationBatches,
} from "../src/train/conversation-batches.js";
import { createPixelLoader } from "../src/train/sample-pixels.node.js";

const readJson = async (name: string) =>
  JSON.parse(
    await readFile(new URL(`../models/scenes-tokenizer/${name}`, import.meta.url), "utf8"),
  );

/** Batches of questions about scenes of `imageSizePx`, whose images take `visualTokens`. */
export const openSceneBatches = async (
  batchSize: number,
  imageSizePx: number,
  visualTokens: number,
): Promise<ConversationBatches & { close(): Promise<void> }> => {
  const reader = await openDataMix(
    [{ scenes: { count: 512, heightPx: imageSizePx, contents: ["questions"] } }],
    1,
  );
  const tokenizer = createTokenizer({
    tokenizerJson: await readJson("tokenizer.json"),
    tokenizerConfig: await readJson("tokenizer_config.json"),
  });
  const batches = await createConversationBatches({
    reader,
    report: createReadReport({ numRecords: reader.length, maxBadShare: 0 }),
    labels: {
      tokenizer,
      template: llavaTemplates.vicuna_v1,
      maxLength: 2048,
      tooLong: "refuse",
      mediaTokens: () => visualTokens,
    },
    padId: 0,
    batchSize,
    seed: 1,
    loadPixels: createPixelLoader(
      clipProcessing(clipConfig(imageSizePx), {
        imageMode: { aspect: "square" },
        frameResize: "image",
      }),
    ),
  });
  return { ...batches, close: () => reader.close() };
};
