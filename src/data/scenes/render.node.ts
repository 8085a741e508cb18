/** Draws scenes with `@napi-rs/canvas`, at any size. */
import { setImmediate } from "node:timers/promises";
import type { Canvas, SKRSContext2D } from "@napi-rs/canvas";
import { LimitError, OptionsError } from "../../errors.js";
import type { Rgb, RgbImage } from "../../image/image.js";
import type { PrintedCharacter } from "../../image/print-grid.js";
import { type CanvasModule, fontFamilies, loadSceneAssets } from "./assets.node.js";
import { layOutScene, numFramesOf } from "./layout.js";
import type { Mark, SpriteMark, TextMark } from "./mark.js";
import type { Scene } from "./scene.js";

/** Sides of images in pixels. */
const smallestSide = 16;
const largestSide = 8192;
/**
 * The canvas hands its pixels out in buffers that are freed only when the event loop turns: a loop over promises that
 * are already kept would fill the memory. After this many bytes a renderer lets it turn.
 */
const unfreedLimitBytes = 16 * 2 ** 20;

export type SceneRenderer = {
  /**
   * The image of a scene (of one frame, where it is a clip), `heightPx` high and `aspect` times as wide.
   * Equal calls give equal pixels. Throws OptionsError or LimitError for a size or frame that cannot be.
   */
  readonly render: (scene: Scene, heightPx: number, frame?: number) => Promise<RgbImage>;
  /** All frames of a scene, in order; one, unless it is a clip. */
  readonly renderFrames: (scene: Scene, heightPx: number) => Promise<RgbImage[]>;
  /** The characters of the same image, each with the box of its letter. Throws as `render`. */
  readonly locatePrint: (scene: Scene, heightPx: number) => PrintedCharacter[];
};

const css = ([red, green, blue]: Rgb): string => `rgb(${red},${green},${blue})`;

/** Sides of the coarsest level of a sprite. */
const coarsestSide = 16;

/**
 * A render and its halves, as long as they have more than 16 pixels. Sprites are drawn from the smallest level that
 * still has all their pixels, so that nothing aliases; levels take a third more memory, and none is ever added.
 */
const halve = ({ createCanvas }: CanvasModule, source: Canvas): Canvas[] => {
  const levels = [source];
  for (let level = source; Math.max(level.width, level.height) > coarsestSide; ) {
    const half = createCanvas(Math.ceil(level.width / 2), Math.ceil(level.height / 2));
    // An odd last column or row is spread over half a pixel.
    half.getContext("2d").drawImage(level, 0, 0, level.width / 2, level.height / 2);
    levels.push(half);
    level = half;
  }
  return levels;
};

type Levels = ReadonlyMap<string, readonly Canvas[]>;

const drawSprite = (
  context: SKRSContext2D,
  { name, x, y, extent, isFlipped }: SpriteMark,
  scale: number,
  sprites: Levels,
): void => {
  const levels = sprites.get(name);
  if (levels === undefined) {
    throw new OptionsError(
      `renderScene: objects are those of the table of classes, got "${name}". Use sampleScene or a name from objectClasses.`,
    );
  }
  const [whole] = levels;
  const ratio = (extent * scale) / Math.max(whole.width, whole.height);
  let at = 0;
  while (at + 1 < levels.length && ratio * 2 ** (at + 1) <= 1) at += 1;
  const level = levels[at];
  // The part of the level that the render fills, which may end within its last pixel.
  const width = whole.width / 2 ** at;
  const height = whole.height / 2 ** at;
  const shown = [whole.width * ratio, whole.height * ratio] as const;
  context.setTransform(isFlipped ? -1 : 1, 0, 0, 1, x * scale, y * scale);
  context.drawImage(level, 0, 0, width, height, -shown[0] / 2, -shown[1] / 2, ...shown);
  context.resetTransform();
};

const setFont = (context: SKRSContext2D, mark: TextMark, scale: number): void => {
  context.font = `${mark.em * scale}px ${fontFamilies[mark.font]}`;
};

/** Height of a letter's box, about the middle of its line, as a share of the font size: capitals and a little more. */
const letterHeight = 0.76;

/** The characters of a text and their boxes; spaces have none. */
const locateCharacters = (
  context: SKRSContext2D,
  mark: TextMark,
  scale: number,
): PrintedCharacter[] => {
  setFont(context, mark, scale);
  const widthOf = (text: string): number => context.measureText(text).width;
  const share = { left: 0, centre: 0.5, right: 1 }[mark.align];
  const start = mark.x * scale - share * widthOf(mark.text);
  const height = letterHeight * mark.em * scale;
  return [...mark.text].flatMap((character, at) => {
    if (character === " ") return [];
    const before = widthOf(mark.text.slice(0, at));
    return {
      character,
      left: start + before,
      top: mark.y * scale - height / 2,
      width: widthOf(mark.text.slice(0, at + 1)) - before,
      height,
    };
  });
};

const drawText = (context: SKRSContext2D, mark: TextMark, scale: number): void => {
  setFont(context, mark, scale);
  context.fillStyle = css(mark.colour);
  context.textAlign = mark.align === "centre" ? "center" : mark.align;
  // Capitals and digits of Roboto are 0.711 em high: their middle goes onto the line's middle.
  context.textBaseline = "alphabetic";
  context.fillText(mark.text, mark.x * scale, (mark.y + mark.em * 0.355) * scale);
};

const drawMark = (context: SKRSContext2D, mark: Mark, scale: number, sprites: Levels): void => {
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
 * Loads renders and fonts and makes a renderer (about 30 MB).
 * Throws MissingPackageError where an optional package is not installed.
 */
export const createSceneRenderer = async (): Promise<SceneRenderer> => {
  const assets = await loadSceneAssets();
  const sprites = new Map(
    [...assets.sprites].map(([name, source]) => [name, halve(assets.canvas, source)] as const),
  );
  let canvas = assets.canvas.createCanvas(smallestSide, smallestSide);
  let unfreedBytes = 0;
  const draw = (scene: Scene, heightPx: number, frame: number): RgbImage => {
    const size = sceneSize(scene.aspect, heightPx);
    const marks = layOutScene(scene, frame);
    if (canvas.width !== size.width || canvas.height !== size.height)
      canvas = assets.canvas.createCanvas(size.width, size.height);
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    for (const mark of marks) drawMark(context, mark, heightPx, sprites);
    return { ...size, data: dropAlpha(canvas.data()) };
  };
  const render: SceneRenderer["render"] = async (scene, heightPx, frame = 0) => {
    const image = draw(scene, heightPx, frame);
    unfreedBytes += image.width * image.height * 4;
    if (unfreedBytes > unfreedLimitBytes) {
      unfreedBytes = 0;
      await setImmediate();
    }
    return image;
  };
  return {
    render,
    locatePrint: (scene, heightPx) => {
      sceneSize(scene.aspect, heightPx);
      const context = canvas.getContext("2d");
      return layOutScene(scene).flatMap((mark) =>
        mark.type === "text" ? locateCharacters(context, mark, heightPx) : [],
      );
    },
    renderFrames: async (scene, heightPx) => {
      const images: RgbImage[] = [];
      for (let frame = 0; frame < numFramesOf(scene); frame++)
        images.push(await render(scene, heightPx, frame));
      return images;
    },
  };
};
