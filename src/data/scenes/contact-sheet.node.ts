/** Sheets of scenes with captions, to look at what a model is shown and asked. */
import type { RgbImage } from "../../image/image.js";
import { fontFamilies, loadSceneAssets } from "./assets.node.js";

export type ContactSheetEntry = {
  readonly image: RgbImage;
  /** Lines under the image, such as `Where is the cat? → top left`. */
  readonly captions: readonly string[];
};

export type ContactSheetOptions = {
  /** Images side by side; default 6. */
  readonly numColumns?: number;
  /** Height in pixels at which every image is shown; default 192. */
  readonly heightPx?: number;
};

const gap = 10;
const lineHeight = 15;
const fontPx = 12;

/** `text` in lines that are at most `width` wide, broken between words. */
const wrap = (text: string, width: number, measure: (line: string) => number): string[] => {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && measure(longer) > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
};

/**
 * A PNG of all entries, row by row, each with its captions in full.
 * Throws MissingPackageError where an optional package is not installed.
 */
export const createContactSheet = async (
  entries: readonly ContactSheetEntry[],
  { numColumns = 6, heightPx = 192 }: ContactSheetOptions = {},
): Promise<Uint8Array> => {
  const { canvas } = await loadSceneAssets();
  const font = `${fontPx}px ${fontFamilies.sans}`;
  const ruler = canvas.createCanvas(16, 16).getContext("2d");
  ruler.font = font;
  const shown = entries.map(({ image, captions }) => {
    const width = Math.round((heightPx * image.width) / image.height);
    const lines = captions.flatMap((caption) =>
      wrap(caption, width, (line) => ruler.measureText(line).width),
    );
    return { image, width, lines };
  });
  const columnWidth = Math.max(16, ...shown.map(({ width }) => width)) + gap;
  const rows = Array.from({ length: Math.ceil(shown.length / numColumns) }, (_, at) =>
    shown.slice(at * numColumns, (at + 1) * numColumns),
  );
  const rowHeights = rows.map(
    (row) => heightPx + 2 * gap + lineHeight * Math.max(0, ...row.map(({ lines }) => lines.length)),
  );
  const sheet = canvas.createCanvas(
    columnWidth * Math.min(numColumns, Math.max(1, shown.length)) + gap,
    rowHeights.reduce((sum, height) => sum + height, gap),
  );
  const context = sheet.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, sheet.width, sheet.height);
  context.fillStyle = "black";
  context.font = font;
  let top = gap;
  for (const [rowAt, row] of rows.entries()) {
    for (const [column, { image, width, lines }] of row.entries()) {
      const left = gap + column * columnWidth;
      const tile = canvas.createCanvas(image.width, image.height);
      const rgba = new Uint8ClampedArray(image.width * image.height * 4).fill(255);
      for (let from = 0, to = 0; from < image.data.length; from += 3, to += 4)
        rgba.set(image.data.subarray(from, from + 3), to);
      const pixels = new canvas.ImageData(rgba, image.width, image.height);
      tile.getContext("2d").putImageData(pixels, 0, 0);
      context.imageSmoothingEnabled = image.height > heightPx;
      context.drawImage(tile, left, top, width, heightPx);
      for (const [at, line] of lines.entries())
        context.fillText(line, left, top + heightPx + lineHeight * (at + 1));
    }
    top += rowHeights[rowAt];
  }
  return sheet.encode("png");
};
