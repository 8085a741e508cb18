import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { clipConfig } from "../../src/image/clip-config.js";
import type { ImageMode } from "../../src/image/image-mode.js";
import { planViews } from "../../src/image/image-mode.js";
import { viewBox } from "../../src/image/view-box.js";

const processor = clipConfig(336);
const pinpoints = [
  { width: 672, height: 672 },
  { width: 336, height: 672 },
  { width: 672, height: 336 },
];
const boxesOf = (width: number, height: number, mode: ImageMode) => {
  const plan = planViews({ width, height }, processor, mode);
  return plan.views.map((view) => viewBox(plan, view));
};

describe("the box of a view on its image", () => {
  test("of a padded square is the whole image", () => {
    expect(boxesOf(640, 480, { aspect: "pad" })).toEqual([
      { left: 0, top: 0, width: 640, height: 480 },
    ]);
  });

  test("of a centre crop leaves out the ends of the long side", () => {
    expect(boxesOf(640, 480, { aspect: "square" })).toEqual([
      { left: 80, top: 0, width: 480, height: 480 },
    ]);
  });

  test("of tiles cover the image without overlap, after the whole image", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 3000 }),
        fc.integer({ min: 20, max: 3000 }),
        (width, height) => {
          const [whole, ...tiles] = boxesOf(width, height, { aspect: "anyres", pinpoints });
          expect(whole?.left).toBeCloseTo(0, 6);
          expect(whole?.top).toBeCloseTo(0, 6);
          expect((whole?.width ?? 0) / width).toBeCloseTo(1, 6);
          expect((whole?.height ?? 0) / height).toBeCloseTo(1, 6);
          const area = tiles.reduce((sum, box) => sum + (box ? box.width * box.height : 0), 0);
          expect(area / (width * height)).toBeCloseTo(1, 6);
        },
      ),
    );
  });

  test("of LLaVA-Mini's quarters are the quarters", () => {
    const mode: ImageMode = { aspect: "pad", subImages: { ratio: 2 } };
    expect(boxesOf(200, 100, mode)).toEqual([
      { left: 0, top: 0, width: 100, height: 50 },
      { left: 100, top: 0, width: 100, height: 50 },
      { left: 0, top: 50, width: 100, height: 50 },
      { left: 100, top: 50, width: 100, height: 50 },
      { left: 0, top: 0, width: 200, height: 100 },
    ]);
  });
});
