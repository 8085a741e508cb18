/** Draws scenes with `@napi-rs/canvas`, at any size. */
import type { Canvas, SKRSContext2D } from "@napi-rs/canvas";
import { LimitError, OptionsError } from "../../errors.js";
import type { Rgb, RgbImage } from "../../image/image.js";
import {
  type CanvasModule,
  fontFamilies,
  loadSceneAssets,
  type SceneAssets,
} from "./assets.node.js";
import { layOutScene, numFramesOf } from "./layout.js";
import type { Mark, SpriteMark, TextMark } from "./mark.js";
import type { Scene } from "./scene.js";

/** Sides of images in pixels. */
const smallestSide = 16;
const largestSide = 8192;
/** Scaled sprites are kept up to this; a run at 96 pixels needs 2 MB, one at 1344 pixels goes round. */
const cacheBytes = 64 * 2 ** 20;

export type SceneRenderer = {
  /**
   * The image of a scene (of one frame, where it is a clip), `heightPx` high and `aspect` times as wide.
   * Equal calls give equal pixels. Throws OptionsError or LimitError for a size or frame that cannot be.
   */
  readonly render: (scene: Scene, heightPx: number, frame?: number) => RgbImage;
  /** All frames of a scene; one, unless it is a clip. */
  readonly renderFrames: (scene: Scene, heightPx: number) => RgbImage[];
};

const css = ([red, green, blue]: Rgb): string => `rgb(${red},${green},${blue})`;

/** `source` scaled to `width` x `height`: halved while that is more than twice as small, so that nothing aliases. */
const scaleSprite = (
  { createCanvas }: CanvasModule,
  source: Canvas,
  width: number,
  height: number,
): Canvas => {
  let from = source;
  while (from.width > 2 * width && from.height > 2 * height) {
    const half = createCanvas(Math.ceil(from.width / 2), Math.ceil(from.height / 2));
    half.getContext("2d").drawImage(from, 0, 0, from.width / 2, from.height / 2);
    from = half;
  }
  const scaled = createCanvas(width, height);
  const context = scaled.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(from, 0, 0, width, height);
  return scaled;
};

/** Sprites by class, length and direction; the longest unused ones go when they take too many bytes. */
const createSpriteCache = ({ canvas, sprites }: SceneAssets) => {
  const cache = new Map<string, Canvas>();
  let bytes = 0;
  return (name: string, lengthPx: number, isFlipped: boolean): Canvas => {
    const key = `${name}/${lengthPx}/${isFlipped}`;
    const known = cache.get(key);
    if (known !== undefined) {
      cache.delete(key);
      cache.set(key, known);
      return known;
    }
    const source = sprites.get(name);
    if (source === undefined) {
      throw new OptionsError(
        `renderScene: objects are those of the table of classes, got "${name}". Use sampleScene or a name from objectClasses.`,
      );
    }
    const scale = lengthPx / Math.max(source.width, source.height);
    const width = Math.max(1, Math.round(source.width * scale));
    const height = Math.max(1, Math.round(source.height * scale));
    let sprite = scaleSprite(canvas, source, width, height);
    if (isFlipped) {
      const flipped = canvas.createCanvas(width, height);
      const context = flipped.getContext("2d");
      context.setTransform(-1, 0, 0, 1, width, 0);
      context.drawImage(sprite, 0, 0);
      sprite = flipped;
    }
    cache.set(key, sprite);
    bytes += width * height * 4;
    for (const [oldest, { width: oldWidth, height: oldHeight }] of cache) {
      if (bytes <= cacheBytes || oldest === key) break;
      cache.delete(oldest);
      bytes -= oldWidth * oldHeight * 4;
    }
    return sprite;
  };
};

const drawText = (context: SKRSContext2D, mark: TextMark, scale: number): void => {
  context.font = `${mark.em * scale}px ${fontFamilies[mark.font]}`;
  context.fillStyle = css(mark.colour);
  context.textAlign = mark.align === "centre" ? "center" : mark.align;
  // Capitals and digits of Roboto are 0.711 em high: their middle goes onto the line's middle.
  context.textBaseline = "alphabetic";
  context.fillText(mark.text, mark.x * scale, (mark.y + mark.em * 0.355) * scale);
};

type Sprites = ReturnType<typeof createSpriteCache>;

const drawSprite = (
  context: SKRSContext2D,
  mark: SpriteMark,
  scale: number,
  sprites: Sprites,
): void => {
  const sprite = sprites(mark.name, Math.max(1, Math.round(mark.extent * scale)), mark.isFlipped);
  // Whole pixels: cached sprites are copied, never resampled.
  const left = Math.round(mark.x * scale - sprite.width / 2);
  const top = Math.round(mark.y * scale - sprite.height / 2);
  context.drawImage(sprite, left, top);
};

const drawMark = (context: SKRSContext2D, mark: Mark, scale: number, sprites: Sprites): void => {
  switch (mark.type) {
    case "sprite":
      drawSprite(context, mark, scale, sprites);
      return;
    case "text":
      drawText(context, mark, scale);
      return;
    case "gradient": {
      const { x, y, width, height } = mark.box;
      const [right, bottom] = [(x + width) * scale, (y + height) * scale];
      const gradient = context.createLinearGradient(x * scale, y * scale, right, bottom);
      gradient.addColorStop(0, css(mark.colours[0]));
      gradient.addColorStop(1, css(mark.colours[1]));
      context.fillStyle = gradient;
      context.fillRect(x * scale, y * scale, width * scale, height * scale);
      return;
    }
  }
  context.fillStyle = css(mark.colour);
  context.beginPath();
  if (mark.type === "boxes") {
    for (const { x, y, width, height } of mark.boxes) {
      const box = [x * scale, y * scale, width * scale, height * scale] as const;
      if (mark.radius) context.roundRect(...box, mark.radius * scale);
      else context.rect(...box);
    }
  } else if (mark.type === "circles") {
    for (const [x, y, radius] of mark.circles) {
      context.moveTo((x + radius) * scale, y * scale);
      context.arc(x * scale, y * scale, radius * scale, 0, 2 * Math.PI);
    }
  } else {
    for (const polygon of mark.polygons) {
      for (const [at, [x, y]] of polygon.entries()) {
        if (at === 0) context.moveTo(x * scale, y * scale);
        else context.lineTo(x * scale, y * scale);
      }
      context.closePath();
    }
  }
  context.fill();
};

/** RGBA [n, 4] to RGB [n, 3]; scenes are opaque. */
const dropAlpha = (rgba: Uint8Array): Uint8Array => {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
};

/** Width and height in pixels of a scene that is `heightPx` high. */
export const sceneSize = (aspect: number, heightPx: number) => {
  if (!Number.isInteger(heightPx) || heightPx < smallestSide) {
    throw new OptionsError(
      `renderScene: the height is a whole number of at least ${smallestSide} pixels, got ${heightPx}. Pass one, such as 336.`,
    );
  }
  const width = Math.max(smallestSide, Math.round(heightPx * aspect));
  if (Math.max(width, heightPx) > largestSide) {
    throw new LimitError(
      `renderScene: sides are at most ${largestSide} pixels, got ${width}x${heightPx}. Ask for a smaller height.`,
    );
  }
  return { width, height: heightPx };
};

/**
 * Loads renders and fonts and makes a renderer, which keeps scaled sprites.
 * Throws MissingPackageError where an optional package is not installed.
 */
export const createSceneRenderer = async (): Promise<SceneRenderer> => {
  const assets = await loadSceneAssets();
  const sprites = createSpriteCache(assets);
  let canvas = assets.canvas.createCanvas(smallestSide, smallestSide);
  const render: SceneRenderer["render"] = (scene, heightPx, frame = 0) => {
    const size = sceneSize(scene.aspect, heightPx);
    const marks = layOutScene(scene, frame);
    if (canvas.width !== size.width || canvas.height !== size.height)
      canvas = assets.canvas.createCanvas(size.width, size.height);
    const context = canvas.getContext("2d");
    for (const mark of marks) drawMark(context, mark, heightPx, sprites);
    return { ...size, data: dropAlpha(canvas.data()) };
  };
  return {
    render,
    renderFrames: (scene, heightPx) =>
      Array.from({ length: numFramesOf(scene) }, (_, frame) => render(scene, heightPx, frame)),
  };
};
