import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { clipConfig } from "../../src/image/clip-config.js";
import { processClip } from "../../src/image/clip-processor.js";
import { createImage, type RgbImage } from "../../src/image/image.js";
import { resizeNearest } from "../../src/image/resize.js";
import { planFrameViews, processFrames } from "../../src/video/process-frames.js";
import { rotateImage } from "../../src/video/rotate.js";

const config = clipConfig(14);
const gradient = (width: number, height: number): RgbImage => {
  const image = createImage({ width, height });
  for (let i = 0; i < image.data.length; i++) image.data[i] = (i * 31) & 255;
  return image;
};
const collect = async <T>(values: AsyncIterable<T>): Promise<T[]> => {
  const collected: T[] = [];
  for await (const value of values) collected.push(value);
  return collected;
};

describe("processFrames", () => {
  const frames = [gradient(50, 20), gradient(50, 20)];

  it("squeezes frames by nearest neighbour before the processor, as released", async () => {
    const [first, second] = await collect(processFrames(frames, config));
    const squeezed = resizeNearest(frames[0], { width: 14, height: 14 });
    expect(first.pixelValues).toEqual(processClip(squeezed, config));
    expect(second.pixelValues).toEqual(first.pixelValues);
  });

  it("treats frames like images when asked to", async () => {
    const [first] = await collect(processFrames(frames, config, { frameResize: "image" }));
    expect(first.pixelValues).toEqual(processClip(frames[0], config));
  });

  it("plans the views that it then makes", async () => {
    for (const frameResize of ["compat", "image"] as const) {
      const mode = { aspect: "square", subImages: { ratio: 2 } } as const;
      const [first] = await collect(processFrames(frames, config, { frameResize, mode }));
      expect(first.views).toEqual(planFrameViews(frames[0], config, { frameResize, mode }).views);
      expect(first.pixelValues.length).toBe(5 * 3 * 14 * 14);
    }
  });
});

describe("rotateImage", () => {
  const side = fc.integer({ min: 1, max: 9 });
  it("four quarter turns are none, two are a half turn, three a quarter turn back", () => {
    fc.assert(
      fc.property(side, side, (width, height) => {
        const image = gradient(width, height);
        const once = rotateImage(image, 90);
        const twice = rotateImage(once, 90);
        expect(twice).toEqual(rotateImage(image, 180));
        expect(rotateImage(twice, 90)).toEqual(rotateImage(image, 270));
        expect(rotateImage(once, 270)).toEqual(image);
      }),
    );
  });

  it("a quarter turn moves the left top corner to the right top", () => {
    const image = gradient(3, 2);
    const turned = rotateImage(image, 90);
    expect([turned.width, turned.height]).toEqual([2, 3]);
    expect(turned.data.slice(3, 6)).toEqual(image.data.slice(0, 3));
  });
});
