import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LimitError, OptionsError } from "../../src/errors.js";
import { createImage, cropImage, type RgbImage } from "../../src/image/image.js";
import { resizeBicubic, resizeNearest } from "../../src/image/resize.js";
import { fractionBits, planTaps } from "../../src/image/resize-taps.js";

/** A deterministic picture without any structure: hard edges at every pixel. */
const createNoise = (width: number, height: number, seed = 1): RgbImage => {
  const data = new Uint8Array(width * height * 3);
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    data[i] = state >>> 24;
  }
  return { width, height, data };
};

const transpose = ({ width, height, data }: RgbImage): RgbImage => {
  const result = new Uint8Array(data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      result.set(data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3), (x * height + y) * 3);
    }
  }
  return { width: height, height: width, data: result };
};

const side = fc.integer({ min: 1, max: 40 });
const image = fc
  .record({ width: side, height: side, seed: fc.integer() })
  .map(({ width, height, seed }) => createNoise(width, height, seed));

describe("resizeBicubic", () => {
  it("a window equals the same rectangle cut from the whole result", () => {
    fc.assert(
      fc.property(
        image,
        side,
        side,
        fc.infiniteStream(fc.nat()),
        (source, width, height, rolls) => {
          const roll = (below: number) => Number(rolls.next().value) % below;
          const [left, top] = [roll(width), roll(height)];
          const window = {
            left,
            top,
            width: 1 + roll(width - left),
            height: 1 + roll(height - top),
          };
          const whole = resizeBicubic(source, { width, height });
          expect(resizeBicubic(source, { width, height }, window)).toEqual(
            cropImage(whole, window),
          );
        },
      ),
    );
  });

  it("the same size is the same image", () => {
    fc.assert(
      fc.property(image, (source) => {
        expect(resizeBicubic(source, source)).toEqual(source);
      }),
    );
  });

  it("one colour stays that colour", () => {
    fc.assert(
      fc.property(side, side, side, side, fc.integer({ min: 0, max: 255 }), (w, h, x, y, level) => {
        const plain = createImage({ width: w, height: h }, [level, 255 - level, 7]);
        const expected = createImage({ width: x, height: y }, [level, 255 - level, 7]);
        expect(resizeBicubic(plain, { width: x, height: y })).toEqual(expected);
      }),
    );
  });

  it("one pass along x equals one pass along y of the transposed image", () => {
    fc.assert(
      fc.property(image, side, (source, width) => {
        const along = resizeBicubic(source, { width, height: source.height });
        const across = resizeBicubic(transpose(source), { width: source.height, height: width });
        expect(transpose(across)).toEqual(along);
      }),
    );
  });

  it("the sums of a resize fit into 32 bits", () => {
    const sizes = fc.integer({ min: 1, max: 5000 });
    fc.assert(
      fc.property(sizes, sizes, fc.nat(), (inSize, outSize, roll) => {
        const { weights } = planTaps(inSize, outSize, roll % outSize, 1);
        const sum = weights.reduce((total, weight) => total + Math.abs(weight), 0);
        expect(sum).toBeLessThan(1.5 * 2 ** fractionBits);
        expect(
          weights.reduce((total, weight) => total + weight, 0) / 2 ** fractionBits,
        ).toBeCloseTo(1, 4);
      }),
    );
  });

  it("a 1x5000 image enlarged 336 times and cropped needs no gigabytes", () => {
    const window = { left: 0, top: 839_832, width: 336, height: 336 };
    const source = createNoise(1, 5000);
    const result = resizeBicubic(source, { width: 336, height: 1_680_000 }, window);
    expect(result.data.length).toBe(336 * 336 * 3);
    const whole = { width: 336, height: 1_680_000 };
    expect(() => resizeBicubic(source, whole)).toThrow(LimitError);
  });

  it("refuses sizes without pixels, windows outside and images with missing bytes", () => {
    const source = createNoise(4, 4);
    for (const width of [0, -1, 1.5, Number.NaN]) {
      expect(() => resizeBicubic(source, { width, height: 3 })).toThrow(OptionsError);
    }
    const window = { left: 1, top: 0, width: 3, height: 3 };
    expect(() => resizeBicubic(source, { width: 3, height: 3 }, window)).toThrow(
      /window lies inside/,
    );
    const broken = { ...source, data: source.data.subarray(1) };
    expect(() => resizeBicubic(broken, source)).toThrow(/has 48 bytes, got 47/);
  });
});

describe("resizeNearest", () => {
  // Sums over k of (k + 1) * index[k], from torch.nn.functional.interpolate(mode="nearest").
  it.each([
    [640, 336, 24_057_440],
    [1920, 336, 72_228_488],
    [336, 336, 12_644_240],
    [100, 336, 3_735_148],
    [3, 7, 35],
    [7, 3, 16],
    [1080, 336, 40_615_300],
    [719, 336, 27_028_873],
    [854, 336, 32_110_148],
    [1, 5, 0],
  ])("takes PyTorch's pixels, %i to %i, along both sides", (from, to, checksum) => {
    const data = new Uint8Array(from * 3);
    for (let x = 0; x < from; x++) data.set([x >> 8, x & 255, 0], x * 3);
    const row = { width: from, height: 1, data };
    const measure = (levels: Uint8Array) => {
      let sum = 0;
      for (let k = 0; k < to; k++) sum += (k + 1) * (levels[k * 3] * 256 + levels[k * 3 + 1]);
      return sum;
    };
    expect(measure(resizeNearest(row, { width: to, height: 1 }).data)).toBe(checksum);
    const column = transpose(row);
    expect(measure(resizeNearest(column, { width: 1, height: to }).data)).toBe(checksum);
  });

  it("rounds in float32 as PyTorch does: 154 of 1080 to 336 is 494, not 495", () => {
    const data = new Uint8Array(1080 * 3);
    for (let x = 0; x < 1080; x++) data[x * 3] = x & 255;
    const result = resizeNearest({ width: 1080, height: 1, data }, { width: 336, height: 1 });
    expect(result.data[154 * 3]).toBe(494 & 255);
  });
});
