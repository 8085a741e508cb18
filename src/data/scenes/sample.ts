/** Draws scenes: the same key and options give the same scene, on every machine and for ever (see `scenesVersion`). */
import { OptionsError } from "../../errors.js";
import { findObjectClass } from "./object-classes.js";
import { colourNames } from "./palette.js";
import { createRandomStream, type RandomStream, type SceneKey } from "./random.js";
import { sampleBackground, sampleNamedBackground } from "./sample-background.js";
import { fewestFrames, sampleActors } from "./sample-clip.js";
import { type DetailType, detailTypes, mostPanels, sampleDetail } from "./sample-detail.js";
import { type GridShape, sampleGrid } from "./sample-grid.js";
import {
  type Background,
  type ClipScene,
  type DetailScene,
  type Scene,
  type SimpleScene,
  type Story,
  stories,
  type Theme,
  themes,
} from "./scene.js";

/** Changes whenever equal keys would give other scenes, questions or pixels than before. */
export const scenesVersion = "1";

export type SceneOptions = SceneKey & {
  /** Width over height, from 0.25 to 4; default 1. */
  readonly aspect?: number;
  /** Cells of grids; default: either, by chance. */
  readonly grid?: GridShape;
  /** Only this theme (simple scenes). */
  readonly theme?: Theme;
  /** Only this type (detail scenes). */
  readonly detail?: DetailType;
  /** Cards or signs of a scene of these, from 1 to 4; default: by chance. Fewer are larger. */
  readonly panels?: number;
  /** Only this story (clips). */
  readonly story?: Story;
  /** Frames of a clip, from 4 to 64; default 8. */
  readonly numFrames?: number;
};

/** Shares of the themes, in percent. */
const themeShares: Readonly<Record<Theme, number>> = {
  single: 8,
  mixed: 32,
  repeats: 20,
  odd: 8,
  sizes: 8,
  category: 10,
  shapes: 14,
};

const drawTheme = (random: RandomStream): Theme =>
  random.pickWeighted(
    themes,
    themes.map((theme) => themeShares[theme]),
  );

type Frame = Pick<Scene, "key" | "aspect" | "shade">;

const sampleSimple = (random: RandomStream, frame: Frame, options: SceneOptions): SimpleScene => {
  const theme = options.theme ?? drawTheme(random);
  const shape = options.grid ?? random.pick(["2x2", "3x3"] as const);
  const hasTiles = theme !== "shapes" && theme !== "sizes" && random.chance(0.35);
  const grid = sampleGrid(random, theme, shape, hasTiles);
  let background: Background;
  if (theme === "shapes") background = sampleBackground(random, frame.aspect, "light");
  else if (!hasTiles && random.chance(0.4)) {
    const taken = grid.things.map(({ name }) => findObjectClass(name)?.colour);
    const free = colourNames.filter((name) => name !== "black" && !taken.includes(name));
    background =
      free.length > 0
        ? sampleNamedBackground(random, free, frame.shade)
        : sampleBackground(random, frame.aspect, "any");
  } else background = sampleBackground(random, frame.aspect, "any");
  return { ...frame, kind: "simple", theme, background, grid };
};

const sampleDetailScene = (
  random: RandomStream,
  frame: Frame,
  options: SceneOptions,
): DetailScene => {
  const shape = options.grid ?? random.pick(["2x2", "3x3"] as const);
  const content = sampleDetail(random, shape, options.detail, options.panels);
  const background = sampleBackground(random, frame.aspect, "any");
  return { ...frame, kind: "detail", background, content };
};

const sampleClip = (random: RandomStream, frame: Frame, options: SceneOptions): ClipScene => {
  const numFrames = options.numFrames ?? 8;
  const story = options.story ?? random.pick(stories);
  const actors = sampleActors(random, story, numFrames);
  const background = sampleBackground(random, frame.aspect, "any");
  return { ...frame, kind: "clip", story, numFrames, background, actors };
};

const checkChoice = (name: string, value: unknown, allowed: readonly unknown[]): void => {
  if (value === undefined || allowed.includes(value)) return;
  throw new OptionsError(
    `sampleScene: ${name} is one of ${allowed.join(", ")}, got ${String(value)}. Pass one of these, or leave it out.`,
  );
};

const checkOptions = ({ aspect = 1, numFrames = 8, ...options }: SceneOptions): void => {
  if (!(aspect >= 0.25 && aspect <= 4)) {
    throw new OptionsError(
      `sampleScene: aspect (width over height) is from 0.25 to 4, got ${aspect}. Pass 1 for a square.`,
    );
  }
  if (!Number.isInteger(numFrames) || numFrames < fewestFrames || numFrames > 64) {
    throw new OptionsError(
      `sampleScene: numFrames is a whole number from ${fewestFrames} to 64, got ${numFrames}. Leave it out for 8.`,
    );
  }
  checkChoice("grid", options.grid, ["2x2", "3x3"]);
  checkChoice("theme", options.theme, themes);
  checkChoice("detail", options.detail, detailTypes);
  checkChoice("story", options.story, stories);
  const { panels } = options;
  if (panels !== undefined && !(Number.isInteger(panels) && panels >= 1 && panels <= mostPanels)) {
    throw new OptionsError(
      `sampleScene: panels is a whole number from 1 to ${mostPanels}, got ${panels}. Leave it out for any.`,
    );
  }
};

/**
 * The scene of a key. Splits are part of the key's random stream, not ranges of indices: no seed and no index of one
 * split can give the stream of another one.
 * Throws OptionsError for a key or option outside what `SceneOptions` allows.
 */
export function sampleScene(options: SceneOptions & { readonly kind: "simple" }): SimpleScene;
export function sampleScene(options: SceneOptions & { readonly kind: "detail" }): DetailScene;
export function sampleScene(options: SceneOptions & { readonly kind: "clip" }): ClipScene;
export function sampleScene(options: SceneOptions): Scene;
export function sampleScene(options: SceneOptions): Scene {
  checkOptions(options);
  const { seed, split, index, kind, aspect = 1 } = options;
  const key = { seed, split, index, kind };
  const random = createRandomStream(key, "scene");
  const frame = { key, aspect, shade: random.between(-0.06, 0.06) };
  switch (kind) {
    case "simple":
      return sampleSimple(random, frame, options);
    case "detail":
      return sampleDetailScene(random, frame, options);
    case "clip":
      return sampleClip(random, frame, options);
  }
}
