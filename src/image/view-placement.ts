import type { Rect } from "./image.js";
import { viewBox } from "./view-box.js";
import type { ImagePlan, ViewPlan } from "./view-plan.js";

/** What a view shows of the image, and where in the view; rectangles are not rounded. */
export type ViewPlacement = {
  /** In pixels of the image. */
  readonly from: Rect;
  /** In pixels of the view; the rest of it is border. */
  readonly to: Rect;
};

/** Scale and offset that take a place on one axis of the image to that axis of the view. */
type AxisMap = { readonly scale: number; readonly offset: number };

/** Where the part of the image that a view shows lies in it; undefined for border only. */
export const placeView = (plan: ImagePlan, view: ViewPlan): ViewPlacement | undefined => {
  const from = viewBox(plan, view);
  if (from === undefined) return undefined;
  const { rect, pad, resized, output } = view;
  const canvas = view.source === "canvas" ? plan.canvas : undefined;
  const axis = (side: "width" | "height", start: "left" | "top"): AxisMap => {
    const onSource = canvas ? canvas.resized[side] / plan.image[side] : 1;
    const scale = resized[side] / (pad?.side ?? rect[side]);
    const moved = (canvas?.[start] ?? 0) - rect[start] + (pad?.[start] ?? 0);
    return { scale: onSource * scale, offset: moved * scale - output[start] };
  };
  const [x, y] = [axis("width", "left"), axis("height", "top")];
  return {
    from,
    to: {
      left: from.left * x.scale + x.offset,
      top: from.top * y.scale + y.offset,
      width: from.width * x.scale,
      height: from.height * y.scale,
    },
  };
};
