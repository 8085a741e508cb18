/**
 * A scene as data: everything that is seen and asked follows from it, and no pixel is needed to answer.
 * Lengths are fractions of the image's height: a scene is `aspect` wide and 1 high, x to the right, y down.
 */
import type { Rgb } from "../../image/image.js";
import type { ColourName } from "./palette.js";
import type { SceneKey } from "./random.js";

/** An object by its class name, or a shape: only shapes have a `colour`. */
export type Thing = { readonly name: string; readonly colour?: ColourName };

/** A thing in a cell of a grid. */
export type PlacedThing = Thing & {
  readonly row: number;
  readonly column: number;
  /** Longest side, as a fraction of the cell's shorter side. */
  readonly extent: number;
  /** Where it stands in the room that its cell leaves: -1 is left or up, 1 is right or down. */
  readonly shift: readonly [number, number];
  readonly isFlipped: boolean;
  /** Number printed under it. */
  readonly label?: number;
};

export type Grid = {
  readonly rows: number;
  readonly columns: number;
  /** Colour of every cell, row by row, where cells have one. */
  readonly tiles?: readonly ColourName[];
  /** At most one thing per cell, sorted row by row. */
  readonly things: readonly PlacedThing[];
};

export const patterns = ["plain", "gradient", "stripes", "checks", "dots", "blobs"] as const;
export type Pattern = (typeof patterns)[number];

export type Background = {
  readonly pattern: Pattern;
  readonly colours: readonly [Rgb, Rgb];
  /** Set where the background is plain and has one of the palette's colours. */
  readonly name?: ColourName;
  /** Repetitions of stripes, checks and dots over the height. */
  readonly repeats: number;
  /** Centre and radius of the blobs. */
  readonly spots: readonly (readonly [x: number, y: number, radius: number])[];
};

/** A card or a sign with something printed on it. */
export type Panel = {
  readonly colour: ColourName;
  readonly text: string;
  readonly content: "number" | "word" | "code";
  /** How the text is set; answers are in lower case whatever it is. Numbers and codes stay as they are. */
  readonly letterCase: "lower" | "upper" | "title";
  /** Height of the letters' line as a fraction of the panel's height. */
  readonly textScale: number;
  readonly arrow?: Direction;
  readonly row: number;
  readonly column: number;
  /** Width and height as fractions of the cell. */
  readonly width: number;
  readonly height: number;
};

export const directions = ["left", "right", "up", "down"] as const;
export type Direction = (typeof directions)[number];

export type Labels = { readonly type: "labels"; readonly grid: Grid };
export type Cards = {
  readonly type: "cards" | "signs";
  readonly rows: number;
  readonly columns: number;
  readonly panels: readonly Panel[];
};
export type Receipt = {
  readonly type: "receipt";
  readonly shop: string;
  /** In printed order, no item twice, no price twice. */
  readonly items: readonly { readonly name: string; readonly cents: number }[];
  /** Height of the paper as a fraction of the image's. */
  readonly scale: number;
};
export type Table = {
  readonly type: "table";
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** [rows, columns], no number twice in a column. */
  readonly values: readonly (readonly number[])[];
  readonly scale: number;
};
export type Chart = {
  readonly type: "chart";
  /** Values from 1 to 10, no value twice. */
  readonly bars: readonly {
    readonly name: string;
    readonly colour: ColourName;
    readonly value: number;
  }[];
  /** Whether the value is printed above its bar; an axis with a line per unit is always there. */
  readonly hasValues: boolean;
  readonly scale: number;
};
export type DetailContent = Labels | Cards | Receipt | Table | Chart;

/** A thing over the frames of a clip. */
export type Actor = Thing & {
  /** Centre in the first and in the last frame, as fractions of width and height. */
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
  /** Longest side in the first and in the last frame, as a fraction of the image's shorter side. */
  readonly extents: readonly [number, number];
  /** First and last frame in which it is seen, inclusive. */
  readonly frames: readonly [number, number];
  readonly isFlipped: boolean;
};

/** `appear`: one after another, and stay; `parade`: one at a time; `move`: each along a line; `change`: one of some. */
export const stories = ["appear", "parade", "move", "change"] as const;
export type Story = (typeof stories)[number];

/** What can happen to one actor of a `change` clip. */
export const clipEvents = ["grows", "shrinks", "appears", "disappears"] as const;
export type ClipEvent = (typeof clipEvents)[number];

type SceneBase = {
  readonly key: SceneKey;
  /** Width over height. */
  readonly aspect: number;
  readonly background: Background;
  /** Slight lightening (> 0) or darkening of tiles and flat shapes, so that colours have names, not fixed values. */
  readonly shade: number;
};

/** What a grid scene was made for. It does not say what is asked. */
export const themes = ["single", "mixed", "repeats", "odd", "sizes", "category", "shapes"] as const;
export type Theme = (typeof themes)[number];

export type SimpleScene = SceneBase & {
  readonly kind: "simple";
  readonly theme: Theme;
  readonly grid: Grid;
};
export type DetailScene = SceneBase & {
  readonly kind: "detail";
  readonly content: DetailContent;
};
export type ClipScene = SceneBase & {
  readonly kind: "clip";
  readonly story: Story;
  readonly numFrames: number;
  /** Sorted by the frame in which they are first seen. */
  readonly actors: readonly Actor[];
};
export type Scene = SimpleScene | DetailScene | ClipScene;

/** Name of a scene, unique over seeds, splits, kinds and indices: "simple-train-0-000017". */
export const sceneId = ({ key }: Scene): string =>
  `${key.kind}-${key.split}-${key.seed}-${String(key.index).padStart(6, "0")}`;
