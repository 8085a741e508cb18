/** The image of a training sample as the vision tower reads it, from its file or its bytes. */
import type { ConversationSample } from "../data/conversation-sample.js";
import { RecordError } from "../errors.js";
import type { ClipProcessorConfig } from "../image/clip-config.js";
import { processViews } from "../image/clip-processor.js";
import { decodeImage } from "../image/decode.node.js";
import type { DecodeOptions } from "../image/decode-options.js";
import { type ImageMode, planViews } from "../image/image-mode.js";
import { float32, type TensorData } from "../tensor-data.js";

export type PixelLoader = (sample: ConversationSample) => Promise<TensorData<"float32">>;

/**
 * Decodes a sample's one image and makes its views, [V, 3, H, W].
 *
 * The loader throws RecordError for a sample without exactly one image, ImageDecodeError for a file that is none and
 * LimitError above the limits of `decode`.
 */
export const createPixelLoader =
  (processor: ClipProcessorConfig, mode: ImageMode, decode?: DecodeOptions): PixelLoader =>
  async ({ media }) => {
    const [medium] = media;
    if (media.length !== 1 || medium.type !== "image")
      throw new RecordError(
        `loadPixels: a sample must have one image, got ${media.map(({ type }) => type).join(", ") || "none"}. Leave it out.`,
      );
    const image = await decodeImage("bytes" in medium ? medium.bytes : medium.path, decode);
    const plan = planViews(image, processor, mode);
    const { pixelValues } = processViews(image, plan, processor);
    const [{ output }] = plan.views;
    return float32([plan.views.length, 3, output.height, output.width], pixelValues);
  };
