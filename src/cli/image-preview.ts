import type { RgbImage } from "../image/image.js";

/** The 256-colour terminal's nearest of its 6 x 6 x 6 cube. */
const cubeIndex = (image: RgbImage, column: number, row: number): number => {
  const at = (row * image.width + column) * 3;
  const level = (value: number): number =>
    value < 48 ? 0 : value < 115 ? 1 : Math.floor((value - 35) / 40);
  const [red, green, blue] = image.data.subarray(at, at + 3);
  return 16 + 36 * level(red) + 6 * level(green) + level(blue);
};

/** An image as lines of half blocks, two rows of dots each, for a terminal with 256 colours. */
export const previewImage = (image: RgbImage, columns: number): string[] => {
  const dots = Math.round((columns * image.height) / image.width / 2) * 2;
  const lines: string[] = [];
  for (let row = 0; row < dots; row += 2) {
    let line = "";
    for (let column = 0; column < columns; column += 1) {
      const x = Math.floor(((column + 0.5) * image.width) / columns);
      const [upper, lower] = [row, row + 1].map((dot) =>
        cubeIndex(image, x, Math.floor(((dot + 0.5) * image.height) / dots)),
      );
      line += `\x1b[38;5;${upper};48;5;${lower}m▀`;
    }
    lines.push(`${line}\x1b[0m`);
  }
  return lines;
};
