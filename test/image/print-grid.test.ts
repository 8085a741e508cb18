import { describe, expect, it } from "vitest";
import {
  charactersPerToken,
  noPrint,
  type PrintedCharacter,
  placesPerPatch,
  printOfPatches,
  printOfTokens,
  unreadablePrint,
} from "../../src/image/print-grid.js";
import { planSlices } from "../../src/image/slice-plan.js";

const options = { maxSlices: 9, viewSidePx: 64, patchSidePx: 16, unitPx: 32 };
const code = (character: string): number => character.charCodeAt(0);

const characterAt = (
  character: string,
  left: number,
  top: number,
  side: number,
): PrintedCharacter => ({ character, left, top, width: side, height: side });

describe("print in views", () => {
  it("covers the places whose middle a letter's box holds", () => {
    const plan = planSlices({ width: 64, height: 64 }, options);
    // Places are 8 pixels wide, middles at 4, 12, 20, ...: the box from 16 to 32 holds two in each direction.
    const codes = printOfPatches(plan, [characterAt("A", 16, 16, 16)]);
    expect(codes).toHaveLength(16 * placesPerPatch);
    const found = [...codes.entries()].filter(([, value]) => value !== noPrint);
    // Patch 5 (row 1, column 1) whole, and nothing else.
    expect(found).toEqual([20, 21, 22, 23].map((at) => [at, code("A")]));
  });

  it("finds a letter smaller than a place by its own middle, and not over another one", () => {
    const plan = planSlices({ width: 64, height: 64 }, options);
    const thin = { ...characterAt("i", 1, 0, 6), width: 2 };
    expect([...printOfPatches(plan, [thin])].slice(0, 4)).toEqual([code("i"), 0, 0, 0]);
    const wide = characterAt("m", 0, 0, 8);
    expect(printOfPatches(plan, [wide, thin])[0]).toBe(code("m"));
  });

  it("is the same print in the thumbnail and in its slice, each at its own scale", () => {
    const plan = planSlices({ width: 128, height: 128 }, options);
    expect(plan.views).toHaveLength(5);
    // Lower right quarter of the image: the last slice; 32 pixels there are 16 in the thumbnail.
    const codes = printOfPatches(plan, [characterAt("7", 80, 80, 32)]);
    const perView = 16 * placesPerPatch;
    const counts = plan.views.map(
      (_, view) =>
        [...codes.slice(view * perView, (view + 1) * perView)].filter((value) => value !== 0)
          .length,
    );
    expect(counts).toEqual([4, 0, 0, 0, 16]);
  });

  it("says where print is too small to be read, or has no code", () => {
    const plan = planSlices({ width: 64, height: 64 }, options);
    const codes = printOfPatches(plan, [characterAt("a", 0, 0, 4), characterAt("é", 32, 32, 16)]);
    expect(codes[0]).toBe(unreadablePrint);
    expect(codes.filter((value) => value === unreadablePrint)).toHaveLength(5);
  });

  it("is cut at the edges of views", () => {
    const plan = planSlices({ width: 64, height: 64 }, options);
    const codes = printOfPatches(plan, [
      characterAt("x", -20, -20, 28),
      characterAt("y", 60, 60, 40),
    ]);
    expect([...codes.entries()].filter(([, value]) => value !== noPrint)).toEqual([
      [0, code("x")],
      [63, code("y")],
    ]);
  });
});

describe("print of visual tokens", () => {
  const plan = planSlices({ width: 128, height: 128 }, options);
  const tokensOf = (print: readonly PrintedCharacter[]) => {
    const codes = printOfTokens(plan, print, 2);
    return Array.from({ length: codes.length / charactersPerToken }, (_, token) =>
      String.fromCharCode(
        ...codes.slice(token * charactersPerToken, (token + 1) * charactersPerToken),
      ).replace(/\0+$/, ""),
    );
  };

  it("is read line by line, each character once, in the token that its middle is in", () => {
    // Tokens of 32 pixels, four a view; the thumbnail shows all at half the size.
    const word = [..."42"].map((character, at) => characterAt(character, 4 + 12 * at, 4, 12));
    const below = characterAt("x", 4, 18, 12);
    const right = characterAt("R", 36, 4, 12);
    const tokens = tokensOf([right, below, ...word]);
    expect(tokens).toHaveLength(20);
    // The thumbnail's first token is 64 pixels of the image wide, the slice's first 32.
    expect(tokens.slice(0, 4)).toEqual(["42Rx", "", "", ""]);
    expect(tokens.slice(4, 8)).toEqual(["42x", "R", "", ""]);
    expect(tokens.slice(8).join("")).toBe("");
  });

  it("ends after the first characters of a token", () => {
    const many = [..."123456789abc"].map((character, at) =>
      characterAt(character, 64 + 2.5 * at, 64, 12),
    );
    expect(tokensOf(many)[16]).toBe("12345678");
  });
});
