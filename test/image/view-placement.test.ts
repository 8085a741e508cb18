import fc from "fast-check";
import { expect, it } from "vitest";
import { clipConfig } from "../../src/image/clip-config.js";
import { createViews } from "../../src/image/clip-processor.js";
import type { RgbImage } from "../../src/image/image.js";
import { planViews } from "../../src/image/image-mode.js";
import { planSlices } from "../../src/image/slice-plan.js";
import { placeView } from "../../src/image/view-placement.js";

/** Red tells how far right a pixel is, green how far down. */
const ramp = (width: number, height: number): RgbImage => {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      data.set([(255 * (x + 0.5)) / width, (255 * (y + 0.5)) / height, 128], (y * width + x) * 3);
    }
  }
  return { width, height, data };
};

const config = clipConfig(56);
const tiles = [
  { width: 56, height: 112 },
  { width: 112, height: 56 },
  { width: 112, height: 112 },
];
const planners = {
  pad: (size: RgbImage) => planViews(size, config, { aspect: "pad" }),
  square: (size: RgbImage) => planViews(size, config, { aspect: "square" }),
  anyres: (size: RgbImage) => planViews(size, config, { aspect: "anyres", pinpoints: tiles }),
  blocks: (size: RgbImage) =>
    planViews(size, config, { aspect: "square", subImages: { ratio: 2 } }),
  "padded blocks": (size: RgbImage) =>
    planViews(size, config, { aspect: "pad", subImages: { ratio: 2 } }),
  slices: (size: RgbImage) => planSlices(size, { viewSidePx: 56, unitPx: 14 }),
} as const;

it.each(Object.entries(planners))(
  "places of %s show the pixels that views hold there",
  (_, plan) => {
    fc.assert(
      fc.property(
        fc.integer({ min: 60, max: 200 }),
        fc.integer({ min: 60, max: 200 }),
        (width, height) => {
          const image = ramp(width, height);
          const planned = plan(image);
          const views = createViews(image, planned);
          for (const [index, view] of planned.views.entries()) {
            const placed = placeView(planned, view);
            if (placed === undefined) continue;
            const { from, to } = placed;
            for (const [across, down] of [
              [0.5, 0.5],
              [0.25, 0.75],
            ]) {
              const x = Math.floor(to.left + to.width * across);
              const y = Math.floor(to.top + to.height * down);
              // Filters mix the border in, and a strip thinner than them holds no clean pixel.
              if (Math.min(to.width, to.height) * 0.25 < 6) continue;
              const level = (channel: number) =>
                views[index].data[(y * view.output.width + x) * 3 + channel];
              const shown = {
                x: from.left + ((x + 0.5 - to.left) / to.width) * from.width,
                y: from.top + ((y + 0.5 - to.top) / to.height) * from.height,
              };
              // One level is a 255th of a side; views hold whole pixels and rounded levels.
              expect(Math.abs(level(0) - (255 * shown.x) / width)).toBeLessThan(5);
              expect(Math.abs(level(1) - (255 * shown.y) / height)).toBeLessThan(5);
            }
          }
        },
      ),
      { numRuns: 15 },
    );
  },
);
