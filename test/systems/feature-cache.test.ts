import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { FeatureCache } from "../../src/systems/feature-cache.js";
import { float32 } from "../../src/tensor-data.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { openEncoder } from "../support/open-encoder.js";
import { expectClose } from "../support/reference-tensors.js";
import {
  randomImage,
  type TinyModelName,
  useModelFolders,
  videoOf,
} from "../support/tiny-models.js";

const folders = useModelFolders();

describe("the feature cache", () => {
  test("holds what was used last, within its bound, whatever is put in", () => {
    fc.assert(
      fc.property(
        fc.nat(200),
        fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.option(fc.nat(30))), {
          maxLength: 40,
        }),
        (maxBytes, steps) => {
          const cache = new FeatureCache(maxBytes);
          // The rule by itself: a list, the most recently used last.
          let model: [string, number][] = [];
          const total = () => model.reduce((sum, [, size]) => sum + 4 * size, 0);
          for (const [key, size] of steps) {
            const known = model.find(([name]) => name === key);
            if (size === null) {
              expect(cache.get(key)?.x.data.length).toBe(known?.[1]);
              if (known) model = [...model.filter((entry) => entry !== known), known];
            } else {
              cache.set(key, { x: float32([size], new Float32Array(size)) });
              if (4 * size <= maxBytes) {
                model = model.filter((entry) => entry !== known);
                while (total() + 4 * size > maxBytes) model.shift();
                model.push([key, size]);
              }
            }
            expect(cache.bytes).toBe(total());
            expect(cache.bytes).toBeLessThanOrEqual(maxBytes);
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("refuses a bound that is none", () => {
    for (const bytes of [-1, Number.NaN])
      expect(() => new FeatureCache(bytes)).toThrow(OptionsError);
  });

  test.each<TinyModelName>(["llava-pad", "llava-next", "mini-1", "mini-hd"])(
    "serves a second question about the same pixels, which changes nothing (%s)",
    async (name) => {
      const opened = await openEncoder(await folders.write(name), { featureCacheBytes: 1e7 });
      const plain = await openEncoder(await folders.write(name));
      const media = await opened.media.prepare({ type: "image", image: randomImage(60, 40, 1) });
      const same = await opened.media.prepare({ type: "image", image: randomImage(60, 40, 1) });
      const other = await opened.media.prepare({ type: "image", image: randomImage(60, 40, 2) });
      const cachedViews = [];
      for (const [item, ids] of [
        [media, [1, imagePlaceholderId, 2]],
        [same, [3, imagePlaceholderId, 4, 5]],
        [other, [3, imagePlaceholderId, 4, 5]],
        [media, [1, imagePlaceholderId, 2]],
      ] as const) {
        const encoded = await opened.encoder.encodePrompt(ids, [item.input]);
        const fresh = await plain.encoder.encodePrompt(ids, [item.input]);
        expectClose(encoded.embeddings, fresh.embeddings, 0);
        expect(fresh.cachedViews).toBe(0);
        cachedViews.push(encoded.cachedViews);
      }
      expect(cachedViews).toEqual([0, 1, 0, 1]);
      await opened.close();
      await plain.close();
    },
  );

  test("counts repeated frames of a video", async () => {
    const opened = await openEncoder(await folders.write("mini-1"), { featureCacheBytes: 1e7 });
    const frames = [1, 2, 1, 1].map((seed) => randomImage(28, 28, seed));
    const video = { type: "video", video: videoOf(frames), sampling: { rule: "all" } } as const;
    const { input } = await opened.media.prepare(video);
    const encoded = await opened.encoder.encodePrompt([imagePlaceholderId, 3], [input]);
    expect(encoded.cachedViews).toBe(2);
    await opened.close();
  });
});
