import type { Rgb, RgbImage } from "../image/image.js";

const sky = (height: number): Rgb => [110 + 90 * height, 170 + 50 * height, 235];

/** A shape is a test for a place in 0 to 1 (across, down) and a colour. */
type Shape = readonly [(x: number, y: number) => boolean, Rgb];

const circle =
  (centreX: number, centreY: number, radius: number) =>
  (x: number, y: number): boolean =>
    // The image is 4:3: down counts three quarters of across.
    (x - centreX) ** 2 + ((y - centreY) * 0.75) ** 2 < radius ** 2;

const box =
  (left: number, top: number, right: number, bottom: number) =>
  (x: number, y: number): boolean =>
    x >= left && x < right && y >= top && y < bottom;

/** From back to front. */
const shapes: readonly Shape[] = [
  [circle(0.8, 0.2, 0.09), [255, 214, 70]], // the sun
  [(x, y) => y > 0.62 - 0.1 * Math.sin(3.4 * x + 0.3), [70, 148, 74]], // the hill
  [(x, y) => y > 0.78 - 0.05 * x, [96, 178, 84]], // the grass
  [box(0.235, 0.46, 0.275, 0.76), [112, 74, 44]], // the tree
  [circle(0.255, 0.36, 0.12), [34, 106, 58]],
  [circle(0.6, 0.82, 0.1), [214, 44, 46]], // the ball
  [circle(0.57, 0.785, 0.028), [246, 150, 140]],
];

/** A drawing of 640 x 480 pixels: a red ball and a tree on a green hill under the sun. */
export const drawExampleImage = (): RgbImage => {
  const [width, height] = [640, 480];
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const [x, y] = [(column + 0.5) / width, (row + 0.5) / height];
      const colour = shapes.findLast(([holds]) => holds(x, y))?.[1] ?? sky(y);
      data.set(colour, (row * width + column) * 3);
    }
  }
  return { width, height, data };
};
