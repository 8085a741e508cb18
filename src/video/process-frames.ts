import type { ClipProcessorConfig } from "../image/clip-config.js";
import { type ProcessedViews, processViews } from "../image/clip-processor.js";
import type { RgbImage, Size } from "../image/image.js";
import { type ImageMode, planViews } from "../image/image-mode.js";
import type { PixelScaling } from "../image/pixel-scaling.js";
import { resizeNearest } from "../image/resize.js";
import { planSlices, type SliceOptions } from "../image/slice-plan.js";
import { type PackedPixels, packViews } from "../image/slice-processor.js";
import type { ImagePlan } from "../image/view-plan.js";

export type FrameOptions = {
  /**
   * `compat` (default): each frame is first resized straight to the size of a view by nearest
   * neighbour, its aspect lost, as the released LLaVA-Mini does; `image`: a frame is treated like a
   * still image.
   */
  readonly frameResize?: "compat" | "image";
  /** What happens before the processor; `square` unless given. */
  readonly mode?: ImageMode;
};

/** The size that frames have after the first resizing: that of a view, or their own. */
const frameSize = (
  size: Size,
  config: ClipProcessorConfig,
  frameResize: FrameOptions["frameResize"],
): Size => {
  if (frameResize === "image") return size;
  if (config.crop) return config.crop;
  if (config.resize && !("shortestEdge" in config.resize)) return config.resize;
  const side = config.resize?.shortestEdge;
  return side ? { width: side, height: side } : size;
};

/** The views of every frame of a video of `size`; all frames have this plan. Pure. */
export const planFrameViews = (
  size: Size,
  config: ClipProcessorConfig,
  { frameResize = "compat", mode = { aspect: "square" } }: FrameOptions = {},
): ImagePlan => planViews(frameSize(size, config, frameResize), config, mode);

/**
 * Frames as the encoder takes them, one at a time in constant memory: [V, 3, H, W] each.
 * Throws what `planViews` throws.
 */
export async function* processFrames(
  frames: AsyncIterable<RgbImage> | Iterable<RgbImage>,
  config: ClipProcessorConfig,
  options: FrameOptions = {},
): AsyncGenerator<ProcessedViews> {
  for await (const frame of frames) {
    const size = frameSize(frame, config, options.frameResize ?? "compat");
    const isSameSize = size.width === frame.width && size.height === frame.height;
    const resized = isSameSize ? frame : resizeNearest(frame, size);
    yield processViews(resized, planFrameViews(frame, config, options), config);
  }
}

/**
 * Frames in slices as the encoder takes them, one at a time: each is an image, all of the same plan.
 * Throws what `planSlices` throws.
 */
export async function* processFramesInSlices(
  frames: AsyncIterable<RgbImage> | Iterable<RgbImage>,
  options: SliceOptions,
  scaling: PixelScaling,
): AsyncGenerator<PackedPixels> {
  for await (const image of frames) {
    yield packViews([{ image, plan: planSlices(image, options) }], scaling);
  }
}
