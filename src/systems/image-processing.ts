/** How a system's images and frames become views: planned by size, then made of pixels. */
import { ModelConfigError } from "../errors.js";
import type { ClipProcessorConfig } from "../image/clip-config.js";
import { processViews } from "../image/clip-processor.js";
import type { RgbImage, Size } from "../image/image.js";
import { planViews } from "../image/image-mode.js";
import { resolveSlicing, type SliceProcessorConfig } from "../image/slice-config.js";
import { planSlices, type SlicePlan } from "../image/slice-plan.js";
import { packViews } from "../image/slice-processor.js";
import type { ImagePlan } from "../image/view-plan.js";
import { float32, type TensorData } from "../tensor-data.js";
import { planFrameViews, processFrames } from "../video/process-frames.js";
import type { LlavaConfig } from "./llava-config.js";
import type { LlavaUhdConfig } from "./llava-uhd-config.js";
import type { TokenChoice } from "./token-choice.js";

export type ProcessedImage = {
  readonly pixels: TensorData<"float32">;
  readonly plan: ImagePlan;
};

export type ImageProcessing = {
  /** The views of an image of this size. Pure. */
  planImage(size: Size, choice?: TokenChoice): ImagePlan;
  /** The views of each frame of a video of this size. Pure. */
  planFrame(size: Size, choice?: TokenChoice): ImagePlan;
  processImage(image: RgbImage, plan: ImagePlan): ProcessedImage;
  processFrames(
    frames: AsyncIterable<RgbImage>,
    choice?: TokenChoice,
  ): AsyncIterable<ProcessedImage>;
};

/** Settings of the processors of all systems. */
export type ImageProcessorConfig = ClipProcessorConfig | SliceProcessorConfig;

const isSliced = (processor: ImageProcessorConfig): processor is SliceProcessorConfig =>
  "downsampleMode" in processor;

/** Views of one size, [V, 3, H, W]. */
export const clipProcessing = (
  processor: ClipProcessorConfig,
  { imageMode, frameResize }: Pick<LlavaConfig, "imageMode" | "frameResize">,
): ImageProcessing => {
  const frameOptions = { frameResize, mode: imageMode };
  const shaped = (pixelValues: Float32Array, plan: ImagePlan): ProcessedImage => {
    const [{ output }] = plan.views;
    return {
      pixels: float32([plan.views.length, 3, output.height, output.width], pixelValues),
      plan,
    };
  };
  return {
    planImage: (size) => planViews(size, processor, imageMode),
    planFrame: (size) => planFrameViews(size, processor, frameOptions),
    processImage: (image, plan) => shaped(processViews(image, plan, processor).pixelValues, plan),
    async *processFrames(frames) {
      for await (const frame of frames) {
        const plan = planFrameViews(frame, processor, frameOptions);
        for await (const { pixelValues } of processFrames([frame], processor, frameOptions)) {
          yield shaped(pixelValues, plan);
        }
      }
    },
  };
};

/** Views of several sizes as one row of patches, [1, 3, P, N·P]. */
const sliceProcessing = (processor: SliceProcessorConfig): ImageProcessing => {
  const planImage = (size: Size, choice?: TokenChoice): SlicePlan =>
    planSlices(size, resolveSlicing(processor, choice?.slicing).options);
  const processImage = (image: RgbImage, plan: ImagePlan): ProcessedImage => {
    // Plans of this processor alone come back to it.
    const { pixelValues } = packViews([{ image, plan: plan as SlicePlan }], processor.scaling);
    return { pixels: pixelValues, plan };
  };
  return {
    planImage,
    planFrame: planImage,
    processImage,
    async *processFrames(frames, choice) {
      for await (const frame of frames) yield processImage(frame, planImage(frame, choice));
    },
  };
};

/**
 * Throws `ModelConfigError` for a processor of another family, or one that makes views of another size
 * than the tower reads.
 */
export const createImageProcessing = (
  config: LlavaConfig | LlavaUhdConfig,
  processor: ImageProcessorConfig,
): ImageProcessing => {
  if (config.system === "llava-uhd") {
    if (isSliced(processor)) return sliceProcessing(processor);
  } else if (!isSliced(processor)) {
    const side = config.vision.imageSizePx;
    const { crop } = processor;
    if (crop === null || (crop.width === side && crop.height === side)) {
      return clipProcessing(processor, config);
    }
    throw new ModelConfigError(
      `createImageProcessing: the processor must make views of ${side} px, as the vision tower reads, ` +
        `got ${crop.width}x${crop.height}; check preprocessor_config.json`,
    );
  }
  throw new ModelConfigError(
    `createImageProcessing: the image processor must be of the family of ${config.system}, got one of another; check preprocessor_config.json`,
  );
};
