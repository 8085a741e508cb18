/** What a renderer draws, in order. Lengths as in scene.ts: fractions of the image's height. */
import type { Rgb } from "../../image/image.js";

export type Point = readonly [x: number, y: number];
export type Box = {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
};

export type SpriteMark = {
  readonly type: "sprite";
  readonly name: string;
  /** Centre. */
  readonly x: number;
  readonly y: number;
  /** Longest side of what is opaque. */
  readonly extent: number;
  readonly isFlipped: boolean;
};
export type TextMark = {
  readonly type: "text";
  readonly text: string;
  /** Anchor: left end, centre or right end, by `align`; the middle of the line vertically. */
  readonly x: number;
  readonly y: number;
  readonly align: "left" | "centre" | "right";
  /** Font size. */
  readonly em: number;
  readonly font: "sans" | "bold" | "mono";
  readonly colour: Rgb;
};
export type Mark =
  | SpriteMark
  | TextMark
  | { readonly type: "gradient"; readonly box: Box; readonly colours: readonly [Rgb, Rgb] }
  | {
      readonly type: "boxes";
      readonly boxes: readonly Box[];
      readonly colour: Rgb;
      /** Of the corners; default 0. */
      readonly radius?: number;
    }
  | {
      readonly type: "polygons";
      readonly polygons: readonly (readonly Point[])[];
      readonly colour: Rgb;
    }
  | {
      readonly type: "circles";
      readonly circles: readonly (readonly [x: number, y: number, radius: number])[];
      readonly colour: Rgb;
    };

/** Share of the font size that a letter takes on average, with some room to spare (Roboto, Roboto Mono). */
const letterWidth = (text: string, font: TextMark["font"]): number => {
  if (font === "mono") return 0.61;
  return text === text.toUpperCase() && /[A-Z]/.test(text) ? 0.72 : 0.6;
};

/** The largest font size up to `em` at which `text` is at most `width` wide. */
export const fitText = (text: string, font: TextMark["font"], width: number, em: number): number =>
  Math.min(em, width / (letterWidth(text, font) * Math.max(1, text.length)));
