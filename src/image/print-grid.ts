/** Which character stands where in the views of an image: what a vision tower can be taught to read. */
import type { SliceView } from "./slice-plan.js";
import { placeView } from "./view-placement.js";
import type { ImagePlan } from "./view-plan.js";

/** A character of an image's print and the box of its letter, in pixels of the image. */
export type PrintedCharacter = {
  readonly character: string;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
};

/** Places of a patch on each axis that are told apart: print may be smaller than a patch. */
export const placesPerSide = 2;
export const placesPerPatch = placesPerSide ** 2;

/** No print at a place; print that is too small to be read, or that has no code of its own. */
export const noPrint = 0;
export const unreadablePrint = 255;

/** Height of a letter's box in pixels of a view from which it counts as legible. */
const legiblePx = 5.5;

/** Codes of characters that are told apart. */
const firstCode = 0x20;
const lastCode = 0x7e;

/**
 * The code of the character at each place of each patch (`noPrint`, `unreadablePrint`, or its ASCII code), of all views
 * of a plan one after the other: patches in raster order, the places of each likewise. A character covers the places whose
 * middle its box holds, and the one that its own middle is in. [patches of all views · placesPerPatch].
 */
export const printOfViews = (
  plan: Omit<ImagePlan, "views"> & {
    readonly views: readonly SliceView[];
    readonly patchSidePx: number;
  },
  print: readonly PrintedCharacter[],
): Uint8Array => {
  const { views, patchSidePx } = plan;
  const placePx = patchSidePx / placesPerSide;
  const total = views.reduce((sum, { patches }) => sum + patches.rows * patches.columns, 0);
  const codes = new Uint8Array(total * placesPerPatch);
  let first = 0;
  for (const view of views) {
    const { rows, columns } = view.patches;
    const placement = placeView(plan, view);
    const put = (row: number, column: number, code: number, isSure: boolean): void => {
      const [patchRow, patchColumn] = [row, column].map((at) => Math.floor(at / placesPerSide));
      if (patchRow < 0 || patchColumn < 0 || patchRow >= rows || patchColumn >= columns) return;
      const patch = first + patchRow * columns + patchColumn;
      const within = (row % placesPerSide) * placesPerSide + (column % placesPerSide);
      const at = patch * placesPerPatch + within;
      if (isSure || codes[at] === noPrint) codes[at] = code;
    };
    for (const { character, left, top, width, height } of placement ? print : []) {
      const { from, to } = placement as NonNullable<typeof placement>;
      const [scaleX, scaleY] = [to.width / from.width, to.height / from.height];
      const x = to.left + (left - from.left) * scaleX;
      const y = to.top + (top - from.top) * scaleY;
      const [wide, high] = [width * scaleX, height * scaleY];
      const own = character.charCodeAt(0);
      const isCoded = character.length === 1 && own > firstCode && own <= lastCode;
      const code = isCoded && high >= legiblePx ? own : unreadablePrint;
      const fromTo = (start: number, length: number) => ({
        from: Math.ceil(start / placePx - 0.5),
        to: Math.ceil((start + length) / placePx - 0.5) - 1,
      });
      const [across, down] = [fromTo(x, wide), fromTo(y, high)];
      for (let row = down.from; row <= down.to; row += 1)
        for (let column = across.from; column <= across.to; column += 1)
          put(row, column, code, true);
      put(Math.floor((y + high / 2) / placePx), Math.floor((x + wide / 2) / placePx), code, false);
    }
    first += rows * columns;
  }
  return codes;
};
