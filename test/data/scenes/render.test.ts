import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { loadSceneAssets } from "../../../src/data/scenes/assets.node.js";
import { measureDominantColour } from "../../../src/data/scenes/dominant-colour.js";
import { layOutScene } from "../../../src/data/scenes/layout.js";
import { objectClasses } from "../../../src/data/scenes/object-classes.js";
import { palette, shadeColour } from "../../../src/data/scenes/palette.js";
import { sceneKinds } from "../../../src/data/scenes/random.js";
import { createSceneRenderer, type SceneRenderer } from "../../../src/data/scenes/render.node.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import { LimitError, OptionsError } from "../../../src/errors.js";
import type { RgbImage } from "../../../src/image/image.js";

let renderer: SceneRenderer;
beforeAll(async () => {
  renderer = await createSceneRenderer();
});

const pixelAt = ({ data, width }: RgbImage, x: number, y: number) => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

const scenes = sceneKinds.flatMap((kind) =>
  Array.from({ length: 12 }, (_, index) => sampleScene({ seed: 4, split: "train", index, kind })),
);
const hashAll = async (make: SceneRenderer, order: readonly number[]): Promise<string[]> => {
  const hashes: string[] = [];
  for (const at of order) {
    const hash = createHash("sha256");
    for (const image of await make.renderFrames(scenes[at], 96)) hash.update(image.data);
    hashes[at] = hash.digest("hex");
  }
  return hashes;
};

describe("rendered scenes", () => {
  it("are the same pixels in any order and from any renderer", async () => {
    const forward = [...scenes.keys()];
    const first = await hashAll(renderer, forward);
    expect(await hashAll(renderer, forward.toReversed())).toEqual(first);
    expect(await hashAll(await createSceneRenderer(), forward)).toEqual(first);
    expect(new Set(first).size).toBe(scenes.length);
  });

  it("are the same pixels in another process", async () => {
    const root = fileURLToPath(new URL("../../..", import.meta.url));
    const program = `
      import { createHash } from "node:crypto";
      const { createSceneRenderer } = await import("./src/data/scenes/render.node.ts");
      const { sampleScene } = await import("./src/data/scenes/sample.ts");
      const renderer = await createSceneRenderer();
      const hash = createHash("sha256");
      for (const kind of ["simple", "detail", "clip"])
        for (let index = 0; index < 6; index++)
          for (const image of await renderer.renderFrames(sampleScene({ seed: 8, split: "test", index, kind }), 112))
            hash.update(image.data);
      process.stdout.write(hash.digest("hex"));`;
    const run = () =>
      promisify(execFile)(
        process.execPath,
        ["--import", "./scripts/typescript.mjs", "--input-type=module", "--eval", program],
        { cwd: root },
      );
    const [one, other] = [await run(), await run()];
    expect(one.stdout).toMatch(/^[0-9a-f]{64}$/);
    expect(other.stdout).toBe(one.stdout);
    const hash = createHash("sha256");
    for (const kind of sceneKinds)
      for (let index = 0; index < 6; index++) {
        const scene = sampleScene({ seed: 8, split: "test", index, kind });
        for (const image of await renderer.renderFrames(scene, 112)) hash.update(image.data);
      }
    expect(hash.digest("hex")).toBe(one.stdout);
  });

  it.each([48, 96, 224, 336, 672, 1344])("have the size asked for: %i pixels", async (heightPx) => {
    for (const kind of sceneKinds) {
      for (const aspect of [0.5, 1, 16 / 9]) {
        const scene = sampleScene({ seed: 1, split: "train", index: heightPx, kind, aspect });
        const image = await renderer.render(scene, heightPx);
        expect(image.height).toBe(heightPx);
        expect(image.width).toBe(Math.round(heightPx * aspect));
        expect(image.data.length).toBe(image.width * image.height * 3);
        // Something is there: no image is of one colour but for those of vanished objects.
        expect(new Set(image.data).size).toBeGreaterThan(2);
      }
    }
  });

  it("look alike at every size: a large one scaled down is the small one", async () => {
    for (const scene of scenes.slice(0, 12)) {
      const small = await renderer.render(scene, 96);
      const large = await renderer.render(scene, 384);
      let difference = 0;
      for (let y = 0; y < 96; y++)
        for (let x = 0; x < 96; x++) {
          const mean = [0, 0, 0];
          for (let dy = 0; dy < 4; dy++)
            for (let dx = 0; dx < 4; dx++)
              for (const [channel, level] of pixelAt(large, 4 * x + dx, 4 * y + dy).entries())
                mean[channel] += level / 16;
          for (const [channel, level] of pixelAt(small, x, y).entries())
            difference += Math.abs(level - mean[channel]);
        }
      // Sprites lie on whole pixels: edges may be off by half a pixel.
      expect(difference / small.data.length).toBeLessThan(6);
    }
  });

  it("show tiles in the colour that their questions name", async () => {
    for (let index = 0; index < 60; index++) {
      const scene = sampleScene({ seed: 2, split: "train", index, kind: "simple", theme: "mixed" });
      const { grid } = scene;
      if (grid.tiles === undefined) continue;
      const image = await renderer.render(scene, 120);
      for (const [at, tile] of grid.tiles.entries()) {
        const row = Math.floor(at / grid.columns);
        const side = 120 / grid.rows;
        // A corner of the tile, where no sprite reaches.
        const pixel = pixelAt(
          image,
          Math.round((at % grid.columns) * side) + 3,
          Math.round(row * side + side / 2),
        );
        const thing = grid.things.find(
          (one) => one.row === row && one.column === at % grid.columns,
        );
        if (thing === undefined)
          expect(pixel).toEqual([...shadeColour(palette[tile], scene.shade)]);
      }
    }
  });

  it("fit their text into its box: nothing is wider than planned", async () => {
    const { canvas } = await loadSceneAssets();
    const context = canvas.createCanvas(16, 16).getContext("2d");
    const { fontFamilies } = await import("../../../src/data/scenes/assets.node.js");
    for (let index = 0; index < 400; index++) {
      const scene = sampleScene({ seed: 3, split: "train", index, kind: "detail" });
      for (const mark of layOutScene(scene)) {
        if (mark.type !== "text") continue;
        context.font = `${mark.em * 1000}px ${fontFamilies[mark.font]}`;
        const width = context.measureText(mark.text).width / 1000;
        const left = { left: mark.x, centre: mark.x - width / 2, right: mark.x - width }[
          mark.align
        ];
        expect(left, mark.text).toBeGreaterThan(0);
        expect(left + width, mark.text).toBeLessThan(scene.aspect);
      }
    }
  });

  it("take no more memory the more of them there are", async () => {
    const before = process.memoryUsage().rss;
    for (let index = 0; index < 1500; index++)
      await renderer.render(sampleScene({ seed: 6, split: "test", index, kind: "simple" }), 336);
    // All canvas buffers together would be 680 MB.
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(300);
  });

  it("refuse sizes that cannot be", async () => {
    for (const heightPx of [0, 15, 96.5, Number.NaN])
      await expect(renderer.render(scenes[0], heightPx)).rejects.toThrow(OptionsError);
    await expect(renderer.render(scenes[0], 10_000)).rejects.toThrow(LimitError);
  });
});

describe("object classes", () => {
  it("have names of their own, one word each, and a render", async () => {
    const { sprites } = await loadSceneAssets();
    expect(sprites.size).toBe(objectClasses.length);
    expect(new Set(objectClasses.map(({ name }) => name)).size).toBe(objectClasses.length);
    expect(new Set(objectClasses.map(({ emoji }) => emoji)).size).toBe(objectClasses.length);
    for (const { name } of objectClasses) expect(name).toMatch(/^[a-z]+$/);
  });

  it("have the colour that is measured from their render", async () => {
    const { sprites } = await loadSceneAssets();
    const measured = objectClasses.map(({ name }) => {
      return [name, measureDominantColour(sprites.get(name)?.data() ?? new Uint8Array())];
    });
    expect(measured).toEqual(objectClasses.map(({ name, colour }) => [name, colour]));
  });
});
