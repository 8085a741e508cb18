import { OptionsError } from "../errors.js";
import type { Size } from "../image/image.js";
import { createImageProcessing, type ImageProcessorConfig } from "../systems/image-processing.js";
import type { PlannedMedium } from "../systems/run-plan.js";
import type { SystemConfig } from "../systems/system.js";

/** An image, or a video of so many frames, by size alone. */
export type MediumSize = Size & {
  readonly numFrames?: number;
} & Pick<PlannedMedium, "choice" | "routed">;

/** Plans a medium exactly as it is planned before it is encoded. Throws what planning throws. */
export const planMedium = (
  { width, height, numFrames, ...asked }: MediumSize,
  config: SystemConfig,
  processor: ImageProcessorConfig,
): PlannedMedium => {
  const size = { width, height };
  const processing = createImageProcessing(config, processor);
  if (numFrames === undefined) {
    return { plan: processing.planImage(size, asked.choice), numFrames: 1, ...asked };
  }
  if (!Number.isSafeInteger(numFrames) || numFrames < 1) {
    throw new OptionsError(
      `planMedium: a video has a whole number of frames, at least 1, got ${numFrames}`,
    );
  }
  return { plan: processing.planFrame(size, asked.choice), numFrames, ...asked };
};
