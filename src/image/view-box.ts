import type { Rect } from "./image.js";
import type { ImagePlan, ViewPlan } from "./view-plan.js";

/**
 * What a view shows, as a rectangle of the original image in pixels (not rounded): its cut without what the
 * centre crop takes away and without borders. Undefined for a view that shows border only.
 */
export const viewBox = (
  { image, canvas }: Pick<ImagePlan, "image" | "canvas">,
  view: ViewPlan,
): Rect | undefined => {
  const { rect, pad, resized, output } = view;
  // The square that padding makes, or the cut itself, in the pixels that it is cut from.
  const left = rect.left - (pad?.left ?? 0);
  const top = rect.top - (pad?.top ?? 0);
  const scaleX = (pad?.side ?? rect.width) / resized.width;
  const scaleY = (pad?.side ?? rect.height) / resized.height;
  const shown = {
    left: Math.max(left + output.left * scaleX, rect.left),
    top: Math.max(top + output.top * scaleY, rect.top),
    right: Math.min(left + (output.left + output.width) * scaleX, rect.left + rect.width),
    bottom: Math.min(top + (output.top + output.height) * scaleY, rect.top + rect.height),
  };
  const onCanvas = view.source === "canvas" && canvas !== undefined;
  const [offsetX, offsetY] = onCanvas ? [canvas.left, canvas.top] : [0, 0];
  const unscaleX = onCanvas ? image.width / canvas.resized.width : 1;
  const unscaleY = onCanvas ? image.height / canvas.resized.height : 1;
  const within = (value: number, side: number): number => Math.min(Math.max(value, 0), side);
  const box = {
    left: within((shown.left - offsetX) * unscaleX, image.width),
    top: within((shown.top - offsetY) * unscaleY, image.height),
    right: within((shown.right - offsetX) * unscaleX, image.width),
    bottom: within((shown.bottom - offsetY) * unscaleY, image.height),
  };
  const [width, height] = [box.right - box.left, box.bottom - box.top];
  return width > 0 && height > 0 ? { left: box.left, top: box.top, width, height } : undefined;
};
