import { OptionsError } from "../errors.js";
import type { ClipProcessorConfig } from "../image/clip-config.js";
import type { Size } from "../image/image.js";
import { planViews } from "../image/image-mode.js";
import type { LlavaConfig } from "../systems/llava-config.js";
import type { PlannedMedium } from "../systems/run-plan.js";
import { planFrameViews } from "../video/process-frames.js";

/** An image, or a video of so many frames, by size alone. */
export type MediumSize = Size & {
  readonly numFrames?: number;
} & Pick<PlannedMedium, "choice" | "routed">;

/** Plans a medium exactly as it is planned before it is encoded. Throws what `planViews` throws. */
export const planMedium = (
  { width, height, numFrames, ...asked }: MediumSize,
  config: LlavaConfig,
  processor: ClipProcessorConfig,
): PlannedMedium => {
  const size = { width, height };
  if (numFrames === undefined) {
    return { plan: planViews(size, processor, config.imageMode), numFrames: 1, ...asked };
  }
  if (!Number.isSafeInteger(numFrames) || numFrames < 1) {
    throw new OptionsError(
      `planMedium: a video has a whole number of frames, at least 1, got ${numFrames}`,
    );
  }
  const options = { frameResize: config.frameResize, mode: config.imageMode };
  return { plan: planFrameViews(size, processor, options), numFrames, ...asked };
};
