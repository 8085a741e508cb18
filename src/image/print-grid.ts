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

/** Views of an image whose print is wanted. */
export type PrintedPlan = Omit<ImagePlan, "views"> & {
  readonly views: readonly SliceView[];
  readonly patchSidePx: number;
};

/** A character in a view, in pixels of it, with what it is told by. */
type PlacedCharacter = Omit<PrintedCharacter, "character"> & { readonly code: number };

const codeOf = (character: string, height: number): number => {
  const own = character.charCodeAt(0);
  const isCoded = character.length === 1 && own > firstCode && own <= lastCode;
  return isCoded && height >= legiblePx ? own : unreadablePrint;
};

const placePrint = (
  plan: PrintedPlan,
  view: SliceView,
  print: readonly PrintedCharacter[],
): PlacedCharacter[] => {
  const placement = placeView(plan, view);
  if (placement === undefined) return [];
  const { from, to } = placement;
  const [scaleX, scaleY] = [to.width / from.width, to.height / from.height];
  return print.map(({ character, left, top, width, height }) => ({
    code: codeOf(character, height * scaleY),
    left: to.left + (left - from.left) * scaleX,
    top: to.top + (top - from.top) * scaleY,
    width: width * scaleX,
    height: height * scaleY,
  }));
};

/**
 * The code of the character at each place of each patch (`noPrint`, `unreadablePrint`, or its ASCII code), of all views
 * of a plan one after the other: patches in raster order, the places of each likewise. A character covers the places whose
 * middle its box holds, and the one that its own middle is in. [patches of all views · placesPerPatch].
 */
export const printOfPatches = (
  plan: PrintedPlan,
  print: readonly PrintedCharacter[],
): Uint8Array => {
  const { views, patchSidePx } = plan;
  const placePx = patchSidePx / placesPerSide;
  const total = views.reduce((sum, { patches }) => sum + patches.rows * patches.columns, 0);
  const codes = new Uint8Array(total * placesPerPatch);
  let first = 0;
  for (const view of views) {
    const { rows, columns } = view.patches;
    const put = (row: number, column: number, code: number, isSure: boolean): void => {
      const [patchRow, patchColumn] = [row, column].map((at) => Math.floor(at / placesPerSide));
      if (patchRow < 0 || patchColumn < 0 || patchRow >= rows || patchColumn >= columns) return;
      const patch = first + patchRow * columns + patchColumn;
      const within = (row % placesPerSide) * placesPerSide + (column % placesPerSide);
      const at = patch * placesPerPatch + within;
      if (isSure || codes[at] === noPrint) codes[at] = code;
    };
    for (const { code, left, top, width, height } of placePrint(plan, view, print)) {
      const middlesIn = (start: number, length: number) => ({
        from: Math.ceil(start / placePx - 0.5),
        to: Math.ceil((start + length) / placePx - 0.5) - 1,
      });
      const [across, down] = [middlesIn(left, width), middlesIn(top, height)];
      for (let row = down.from; row <= down.to; row += 1)
        for (let column = across.from; column <= across.to; column += 1)
          put(row, column, code, true);
      const middle = [top + height / 2, left + width / 2].map((at) => Math.floor(at / placePx));
      put(middle[0], middle[1], code, false);
    }
    first += rows * columns;
  }
  return codes;
};

/** Characters of a visual token that are told, line by line; what else is there is not asked for. */
export const charactersPerToken = 8;

/**
 * The codes of the characters whose middle lies in each visual token's square of `side` x `side` patches, line by line and
 * from left to right, `noPrint` after the last one. [tokens of all views · charactersPerToken], tokens in raster order.
 */
export const printOfTokens = (
  plan: PrintedPlan,
  print: readonly PrintedCharacter[],
  side: number,
): Uint8Array => {
  const tokenPx = plan.patchSidePx * side;
  const grids = plan.views.map(({ patches }) => ({
    rows: patches.rows / side,
    columns: patches.columns / side,
  }));
  const total = grids.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const codes = new Uint8Array(total * charactersPerToken);
  let first = 0;
  plan.views.forEach((view, at) => {
    const { rows, columns } = grids[at];
    const found = new Uint8Array(rows * columns);
    const inOrder = placePrint(plan, view, print).sort(
      (one, other) => one.top - other.top || one.left - other.left,
    );
    for (const { code, left, top, width, height } of inOrder) {
      const row = Math.floor((top + height / 2) / tokenPx);
      const column = Math.floor((left + width / 2) / tokenPx);
      if (row < 0 || column < 0 || row >= rows || column >= columns) continue;
      const token = row * columns + column;
      if (found[token] === charactersPerToken) continue;
      codes[(first + token) * charactersPerToken + found[token]] = code;
      found[token] += 1;
    }
    first += rows * columns;
  });
  return codes;
};
