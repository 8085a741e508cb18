/**
 * Renders and fonts of Scenes, from optional packages: `@lobehub/fluent-emoji-3d` (MIT), `@fontsource/roboto` and
 * `@fontsource/roboto-mono` (OFL), drawn by `@napi-rs/canvas`. See ATTRIBUTION.md.
 */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Canvas } from "@napi-rs/canvas";
import { MissingPackageError } from "../../errors.js";
import { type ObjectClass, objectClasses } from "./object-classes.js";

export type CanvasModule = typeof import("@napi-rs/canvas");

const require = createRequire(import.meta.url);

const missing = (name: string, cause: unknown): MissingPackageError =>
  new MissingPackageError(
    `loadSceneAssets: the optional package ${name} is installed, got none that can be used. ` +
      `Install it: npm install ${name}`,
    { cause },
  );

/** Path of a file of a package; its package.json need not be exported. */
const resolveFile = (name: string, file: string): string => {
  for (const folder of require.resolve.paths(name) ?? []) {
    const path = join(folder, name, file);
    try {
      return require.resolve(path);
    } catch {
      // Not in this node_modules folder: the next one up.
    }
  }
  throw missing(name, new Error(`no file ${file}`));
};

const loadCanvas = async (): Promise<CanvasModule> => {
  try {
    return await import("@napi-rs/canvas");
  } catch (cause) {
    throw missing("@napi-rs/canvas", cause);
  }
};

/** Families under which the fonts are registered: names of our own, so that no system font is ever taken. */
export const fontFamilies = {
  sans: "ScenesSans",
  bold: "ScenesBold",
  mono: "ScenesMono",
} as const;

const fontFiles = {
  sans: ["@fontsource/roboto", "files/roboto-latin-400-normal.woff2"],
  bold: ["@fontsource/roboto", "files/roboto-latin-700-normal.woff2"],
  mono: ["@fontsource/roboto-mono", "files/roboto-mono-latin-500-normal.woff2"],
} as const;

const registerFonts = ({ GlobalFonts }: CanvasModule): void => {
  for (const [font, [name, file]] of Object.entries(fontFiles)) {
    const family = fontFamilies[font as keyof typeof fontFamilies];
    if (GlobalFonts.has(family)) continue;
    if (!GlobalFonts.registerFromPath(resolveFile(name, file), family)) {
      throw missing(name, new Error(`${file} is no font that can be read`));
    }
  }
};

/** Cuts a canvas down to what is not transparent. */
const trim = ({ createCanvas }: CanvasModule, canvas: Canvas): Canvas => {
  const { width, height } = canvas;
  const pixels = canvas.data();
  let [left, top, right, bottom] = [width, height, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (pixels[(y * width + x) * 4 + 3] < 16) continue;
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
  }
  const trimmed = createCanvas(right - left + 1, bottom - top + 1);
  trimmed.getContext("2d").drawImage(canvas, -left, -top);
  return trimmed;
};

const loadSprite = async (canvas: CanvasModule, { emoji }: ObjectClass): Promise<Canvas> => {
  const path = resolveFile("@lobehub/fluent-emoji-3d", `assets/${emoji}.webp`);
  const image = await canvas.loadImage(await readFile(path));
  const whole = canvas.createCanvas(image.width, image.height);
  whole.getContext("2d").drawImage(image, 0, 0);
  return trim(canvas, whole);
};

export type SceneAssets = {
  readonly canvas: CanvasModule;
  /** Every object's render at its full size, cut to what is opaque, by class name. */
  readonly sprites: ReadonlyMap<string, Canvas>;
};

const loadAll = async (): Promise<SceneAssets> => {
  const canvas = await loadCanvas();
  registerFonts(canvas);
  const sprites = await Promise.all(
    objectClasses.map(async (entry) => [entry.name, await loadSprite(canvas, entry)] as const),
  );
  return { canvas, sprites: new Map(sprites) };
};

let loading: Promise<SceneAssets> | undefined;

/**
 * Loads renders and fonts once per process (about 20 MB).
 * Throws MissingPackageError where an optional package is not installed.
 */
export const loadSceneAssets = async (): Promise<SceneAssets> => {
  loading ??= loadAll();
  try {
    return await loading;
  } catch (error) {
    loading = undefined;
    throw error;
  }
};
