import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { describeScene } from "../../../src/data/scenes/descriptions.js";
import { actorAt, layOutScene, numFramesOf } from "../../../src/data/scenes/layout.js";
import type { Mark } from "../../../src/data/scenes/mark.js";
import { objectClasses } from "../../../src/data/scenes/object-classes.js";
import { questionsFor } from "../../../src/data/scenes/questions/index.js";
import { createRandomStream, sceneKinds, splits } from "../../../src/data/scenes/random.js";
import { type SceneOptions, sampleScene } from "../../../src/data/scenes/sample.js";
import { type Scene, sceneId, themes } from "../../../src/data/scenes/scene.js";
import { OptionsError } from "../../../src/errors.js";

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const keys = fc.record({
  seed: word,
  index: word,
  split: fc.constantFrom(...splits),
  kind: fc.constantFrom(...sceneKinds),
});

const hashOf = (value: unknown): string =>
  createHash("sha256").update(JSON.stringify(value)).digest("hex");

describe("random streams", () => {
  it("give the same numbers for the same key, and others for every other key", () => {
    fc.assert(
      fc.property(keys, keys, (one, other) => {
        const draw = (key: typeof one) => {
          const random = createRandomStream(key, "scene");
          return Array.from({ length: 8 }, () => random.next());
        };
        const isSame = JSON.stringify(one) === JSON.stringify(other);
        expect(draw(one)).toEqual(draw({ ...one }));
        if (!isSame) expect(draw(one)).not.toEqual(draw(other));
      }),
    );
  });

  it("are even: mean, variance and neighbouring numbers of a million draws", () => {
    const random = createRandomStream({ seed: 5, split: "test", index: 9, kind: "clip" }, "scene");
    const draws = Array.from({ length: 1_000_000 }, random.next);
    const mean = draws.reduce((sum, value) => sum + value, 0) / draws.length;
    const variance = draws.reduce((sum, value) => sum + (value - mean) ** 2, 0) / draws.length;
    let together = 0;
    for (let at = 1; at < draws.length; at++)
      together += (draws[at] - mean) * (draws[at - 1] - mean);
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(1 / 12 / draws.length));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(5e-4);
    expect(Math.abs(together / draws.length / variance)).toBeLessThan(5 / Math.sqrt(draws.length));
  });

  it("are even over indices: the first number of neighbouring scenes is as random as any", () => {
    const firsts = Array.from({ length: 100_000 }, (_, index) =>
      createRandomStream({ seed: 0, split: "train", index, kind: "simple" }, "scene").integer(16),
    );
    const counts = Array.from({ length: 256 }, () => 0);
    for (let at = 1; at < firsts.length; at++) counts[firsts[at - 1] * 16 + firsts[at]] += 1;
    const expected = (firsts.length - 1) / 256;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    // 255 degrees of freedom: mean 255, deviation 22.6; five deviations to either side.
    expect(chiSquare).toBeGreaterThan(142);
    expect(chiSquare).toBeLessThan(368);
  });

  it("never repeat a state over splits, kinds, purposes and variants of a seed", () => {
    const seen = new Set<string>();
    let count = 0;
    for (const split of splits)
      for (const kind of sceneKinds)
        for (const purpose of ["scene", "questions", "description"] as const)
          for (let variant = 0; variant < 4; variant++)
            for (let index = 0; index < 300; index++) {
              const random = createRandomStream({ seed: 3, split, kind, index }, purpose, variant);
              seen.add(`${random.next()} ${random.next()}`);
              count += 1;
            }
    expect(seen.size).toBe(count);
  });
});

describe("scenes", () => {
  it("are equal for equal keys", () => {
    fc.assert(
      fc.property(keys, (key) => {
        expect(sampleScene(key)).toEqual(sampleScene({ ...key }));
      }),
    );
  });

  it("of train, validation and test never meet", () => {
    const ids = new Set<string>();
    const contents = new Set<string>();
    let count = 0;
    for (const split of splits)
      for (const kind of sceneKinds)
        for (let index = 0; index < 1500; index++) {
          const { key: _, ...scene } = sampleScene({ seed: 0, split, index, kind });
          ids.add(sceneId({ ...scene, key: { seed: 0, split, index, kind } } as Scene));
          contents.add(hashOf(scene));
          count += 1;
        }
    expect(ids.size).toBe(count);
    expect(contents.size).toBe(count);
  });

  it("stay what they are between versions of the code", () => {
    // Change scenesVersion together with these.
    const hashes = sceneKinds.map((kind) =>
      hashOf(
        Array.from({ length: 200 }, (_, index) => {
          const scene = sampleScene({ seed: 0, split: "test", index, kind });
          return [scene, questionsFor(scene), describeScene(scene)];
        }),
      ).slice(0, 16),
    );
    expect(hashes).toMatchInlineSnapshot(`
      [
        "0ea88ce00902e009",
        "3fc2496a0ffeb847",
        "eee5cd5d9e0c25b5",
      ]
    `);
  });

  it("show every object, every theme, and every pattern of backgrounds", () => {
    const scenes = Array.from({ length: 2000 }, (_, index) =>
      sampleScene({ seed: 0, split: "train", index, kind: "simple" }),
    );
    const names = new Set(scenes.flatMap(({ grid }) => grid.things.map(({ name }) => name)));
    expect(objectClasses.filter(({ name }) => !names.has(name))).toEqual([]);
    expect(new Set(scenes.map(({ theme }) => theme))).toEqual(new Set(themes));
    expect(new Set(scenes.map(({ background }) => background.pattern)).size).toBe(6);
  });

  it("keep every thing inside the image, in its own cell, whatever the aspect", () => {
    const boxOf = (mark: Mark) => {
      if (mark.type === "sprite") return [mark.x, mark.y, mark.extent / 2] as const;
      return undefined;
    };
    fc.assert(
      fc.property(keys, fc.double({ min: 0.25, max: 4, noNaN: true }), (key, aspect) => {
        const scene = sampleScene({ ...key, aspect });
        for (let frame = 0; frame < numFramesOf(scene); frame++) {
          for (const mark of layOutScene(scene, frame)) {
            const [x, y, half] = boxOf(mark) ?? [aspect / 2, 0.5, 0];
            expect(x - half).toBeGreaterThan(-1e-9);
            expect(x + half).toBeLessThan(aspect + 1e-9);
            expect(y - half).toBeGreaterThan(-1e-9);
            expect(y + half).toBeLessThan(1 + 1e-9);
            if (mark.type !== "text") continue;
            expect(mark.em).toBeGreaterThan(0);
            expect(mark.y + mark.em / 2).toBeLessThan(1);
            expect(mark.y - mark.em / 2).toBeGreaterThan(0);
          }
        }
      }),
    );
  });

  it("let nothing cover anything else: sprites of one frame lie apart", () => {
    fc.assert(
      fc.property(keys, (key) => {
        const scene = sampleScene(key);
        for (let frame = 0; frame < numFramesOf(scene); frame++) {
          const sprites = layOutScene(scene, frame).flatMap((mark) =>
            mark.type === "sprite" ? [mark] : [],
          );
          for (const [at, one] of sprites.entries())
            for (const other of sprites.slice(at + 1)) {
              const gap = (one.extent + other.extent) / 2;
              expect(
                Math.max(Math.abs(one.x - other.x), Math.abs(one.y - other.y)),
              ).toBeGreaterThan(gap * 0.999);
            }
        }
      }),
    );
  });

  it("show an actor exactly in its frames", () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: 4, max: 64 }), (key, numFrames) => {
        const scene = sampleScene({ ...key, kind: "clip", numFrames });
        for (const actor of scene.actors)
          for (let frame = 0; frame < numFrames; frame++)
            expect(actorAt(actor, frame, numFrames) !== undefined).toBe(
              frame >= actor.frames[0] && frame <= actor.frames[1],
            );
      }),
    );
  });

  it("keep to the options that narrow them", () => {
    const base = { seed: 0, split: "train", index: 3 } as const;
    expect(sampleScene({ ...base, kind: "simple", grid: "3x3", theme: "odd" })).toMatchObject({
      theme: "odd",
      grid: { rows: 3, columns: 3 },
    });
    expect(sampleScene({ ...base, kind: "detail", detail: "table" }).content.type).toBe("table");
    for (const panels of [1, 2, 3, 4])
      expect(
        sampleScene({ ...base, kind: "detail", detail: "signs", panels }).content,
      ).toMatchObject({ type: "signs", panels: { length: panels } });
    expect(sampleScene({ ...base, kind: "clip", story: "move" }).story).toBe("move");
  });

  it("refuse keys and options outside their ranges", () => {
    const base: SceneOptions = { seed: 0, split: "train", index: 0, kind: "simple" };
    const wrong: Record<string, unknown>[] = [
      { seed: -1 },
      { seed: 2 ** 32 },
      { seed: 0.5 },
      { index: Number.NaN },
      { split: "training" },
      { kind: "video" },
      { aspect: 0.1 },
      { numFrames: 3 },
      { grid: "4x4" },
      { theme: "none" },
      { panels: 0 },
      { panels: 5 },
    ];
    for (const options of wrong)
      expect(() => sampleScene({ ...base, ...options } as SceneOptions)).toThrow(OptionsError);
    const scene = sampleScene(base);
    expect(() => layOutScene(scene, 1)).toThrow(OptionsError);
  });
});
