import { ModelConfigError, OptionsError } from "../errors.js";
import type { ClipProcessorConfig } from "./clip-config.js";
import { checkSize, type Rect, type Rgb, type Size } from "./image.js";

/** Sizes in, sizes out: what is cut, padded and resized for each view. No pixel is looked at. */
export type ImagePlan = {
  /** Size of the image that the plan is for. */
  readonly image: Size;
  /** The image resized and pasted on one colour, when views are cut from that and not from it. */
  readonly canvas?: CanvasPlan;
  /** In the order in which the model takes them. */
  readonly views: readonly ViewPlan[];
  /** How the views of role `part` lie; 0 x 0 when the whole image is the only view. */
  readonly grid: { readonly columns: number; readonly rows: number };
};

export type CanvasPlan = Size & {
  readonly colour: Rgb;
  /** Size of the image on the canvas, and where it lies. */
  readonly resized: Size;
  readonly left: number;
  readonly top: number;
};

/** One view: cut `rect`, pad, resize, then place on `output` at (left, top), cutting what goes over. */
export type ViewPlan = {
  readonly role: "whole" | "part";
  readonly source: "image" | "canvas";
  readonly rect: Rect;
  readonly pad?: PadPlan;
  readonly resized: Size;
  /** Size of the view, and where its left top corner lies in the resized image (negative: black border). */
  readonly output: Rect;
};

/** A square of `side` in `colour` with the cut pasted at (left, top). */
export type PadPlan = {
  readonly side: number;
  readonly left: number;
  readonly top: number;
  readonly colour: Rgb;
};

export const wholeOf = ({ width, height }: Size): Rect => ({ left: 0, top: 0, width, height });

const planResize = (size: Size, resize: ClipProcessorConfig["resize"]): Size => {
  if (resize === null) return { width: size.width, height: size.height };
  if (!("shortestEdge" in resize)) return { width: resize.width, height: resize.height };
  const { shortestEdge } = resize;
  const isTall = size.height > size.width;
  const [short, long] = isTall ? [size.width, size.height] : [size.height, size.width];
  const longEdge = Math.floor((shortestEdge * long) / short);
  return isTall
    ? { width: shortestEdge, height: longEdge }
    : { width: longEdge, height: shortestEdge };
};

/** What the CLIP processor makes of `rect`: resize, then centre crop (Hugging Face's `center_crop`). */
export const planProcessor = (
  rect: Rect,
  config: ClipProcessorConfig,
  role: ViewPlan["role"],
  options: { readonly source?: ViewPlan["source"]; readonly pad?: PadPlan } = {},
): ViewPlan => {
  const { source = "image", pad } = options;
  const resized = planResize(pad ? { width: pad.side, height: pad.side } : rect, config.resize);
  const { width, height } = config.crop ?? resized;
  const left = Math.floor((resized.width - width) / 2);
  const top = Math.floor((resized.height - height) / 2);
  return { role, source, rect, ...(pad && { pad }), resized, output: { left, top, width, height } };
};

/**
 * The colour that `pad` fills with: the mean as 8-bit levels, cut to whole numbers, (122, 116, 104)
 * for CLIP. Throws ModelConfigError if the processor has no mean.
 */
export const padColour = (config: ClipProcessorConfig): Rgb => {
  if (config.normalize === null) {
    throw new ModelConfigError(
      "padColour: padding fills with the processor's mean, got a processor that does not " +
        "normalise. Use the mode `square`, or a processor with do_normalize.",
    );
  }
  const [red, green, blue] = config.normalize.mean.map((mean) => Math.trunc(mean * 255));
  return [red, green, blue];
};

/** Where a cut of `size` lies on the square that `pad` makes of it (LLaVA's `expand2square`). */
export const planSquare = (size: Size, colour: Rgb): PadPlan => {
  const side = Math.max(size.width, size.height);
  const left = Math.floor((side - size.width) / 2);
  const top = Math.floor((side - size.height) / 2);
  return { side, left, top, colour };
};

/** `square` and other modes: the processor alone; a long image loses its ends to the centre crop. */
export const planClip = (image: Size, config: ClipProcessorConfig): ImagePlan => {
  checkSize("planClip", image);
  const views = [planProcessor(wholeOf(image), config, "whole")];
  return { image: wholeSize(image), views, grid: { columns: 0, rows: 0 } };
};

/** `pad`: pasted centred on a square in the mean colour, then the processor. LLaVA-1.5. */
export const planPad = (image: Size, config: ClipProcessorConfig): ImagePlan => {
  checkSize("planPad", image);
  const pad = planSquare(image, padColour(config));
  const views = [planProcessor(wholeOf(image), config, "whole", { pad })];
  return { image: wholeSize(image), views, grid: { columns: 0, rows: 0 } };
};

export const wholeSize = ({ width, height }: Size): Size => ({ width, height });

/** Throws OptionsError unless all views have one size, as a tensor [V, 3, H, W] needs; returns it. */
export const viewSize = ({ views }: ImagePlan): Size => {
  const [first, ...others] = views;
  if (!first) throw new OptionsError("viewSize: a plan has at least one view, got 0. Plan again.");
  const { width, height } = first.output;
  const odd = others.find(({ output }) => output.width !== width || output.height !== height);
  if (odd) {
    throw new OptionsError(
      `viewSize: all views of an image have one size, got ${width}x${height} and ` +
        `${odd.output.width}x${odd.output.height}. Use a processor with do_center_crop.`,
    );
  }
  return { width, height };
};
