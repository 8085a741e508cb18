import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { withRoutes } from "../../src/generate/media.js";
import { nextPinpoints, planAnyres } from "../../src/image/anyres.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { newlineIndex, planSpatialUnpad, planUnpad } from "../../src/systems/llava-next.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { openEncoder } from "../support/open-encoder.js";
import { readJson } from "../support/recorded-preprocessing.js";
import {
  randomImage,
  type TinyModelName,
  tinyModels,
  useModelFolders,
  videoOf,
} from "../support/tiny-models.js";

type RecordedCounts = {
  readonly images: readonly {
    readonly size: readonly [number, number];
    readonly best_resolution: readonly [number, number];
    readonly tile_grid_cols_rows: readonly [number, number];
    readonly views: number;
    readonly granularity: {
      readonly "576": {
        readonly lattice_rows_cols: readonly [number, number];
        readonly compat_tokens: number;
        readonly compat_rows: readonly [number, number];
        readonly compat_cols: readonly [number, number];
      };
    };
  }[];
};

describe("LLaVA-NeXT lays out tokens as the released code does", () => {
  const { images } = readJson("llava-next-token-counts/token_counts.json") as RecordedCounts;

  test.each(images.map((image) => [image.size.join("x"), image] as const))("%s", (_, image) => {
    const [width, height] = image.size;
    const plan = planAnyres({ width, height }, clipConfig(336), nextPinpoints(336));
    const [columns, rows] = image.tile_grid_cols_rows;
    expect(plan.grid).toEqual({ columns, rows });
    expect([plan.canvas.width, plan.canvas.height]).toEqual(image.best_resolution);
    expect(plan.views.length).toBe(image.views);

    const recorded = image.granularity["576"];
    const lattice = { rows: rows * 24, columns: columns * 24 };
    expect([lattice.rows, lattice.columns]).toEqual(recorded.lattice_rows_cols);
    const kept = planUnpad(plan.image, lattice);
    expect([kept.rows.start, kept.rows.end]).toEqual(recorded.compat_rows);
    expect([kept.columns.start, kept.columns.end]).toEqual(recorded.compat_cols);

    const layout = planSpatialUnpad(plan, { rows: 24, columns: 24 });
    expect(layout.length).toBe(recorded.compat_tokens);
    const numRows = kept.rows.end - kept.rows.start;
    expect(layout.filter((index) => index === newlineIndex).length).toBe(numRows);
    expect(layout[layout.length - 1]).toBe(newlineIndex);
    // The whole image first, without a newline; then tokens of tiles, none of them twice.
    expect(layout.slice(0, 576)).toEqual(Array.from({ length: 576 }, (__, index) => index));
    const tiles = layout.slice(576).filter((index) => index !== newlineIndex);
    expect(new Set(tiles).size).toBe(tiles.length);
    expect(Math.min(...tiles)).toBeGreaterThanOrEqual(576);
    expect(Math.max(...tiles)).toBeLessThan(576 * image.views);
  });

  test("rows of the layout are rows of the picture: neighbours in a row are neighbours in the lattice", () => {
    const plan = planAnyres({ width: 900, height: 700 }, clipConfig(336), nextPinpoints(336));
    const side = 24;
    const placeOf = (index: number) => {
      const tile = Math.floor(index / side ** 2) - 1;
      const inside = index % side ** 2;
      return {
        row: Math.floor(tile / plan.grid.columns) * side + Math.floor(inside / side),
        column: (tile % plan.grid.columns) * side + (inside % side),
      };
    };
    let previous: { row: number; column: number } | undefined;
    let row = planUnpad(plan.image, { rows: 48, columns: 48 }).rows.start;
    for (const index of planSpatialUnpad(plan, { rows: side, columns: side }).slice(side ** 2)) {
      if (index === newlineIndex) {
        previous = undefined;
        row += 1;
        continue;
      }
      const place = placeOf(index);
      expect(place.row).toBe(row);
      if (previous !== undefined) expect(place.column).toBe(previous.column + 1);
      previous = place;
    }
  });
});

describe("planned tokens are the produced ones, for any size of image and any number of frames", () => {
  const folders = useModelFolders();
  const side = fc.oneof(fc.integer({ min: 1, max: 140 }), fc.constantFrom(1, 27, 28, 29, 56, 84));

  test.each(Object.keys(tinyModels) as TinyModelName[])("%s", async (name) => {
    const opened = await openEncoder(await folders.write(name));
    const { encoder, media, system } = opened;
    // High resolution cuts an image in two each way, and says so where there is nothing to cut.
    const sides = name === "mini-hd" ? side.filter((px) => px > 1) : side;
    await fc.assert(
      fc.asyncProperty(
        sides,
        sides,
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 5 }),
        async (width, height, numFrames, text) => {
          const image = randomImage(width, height);
          const frames = Array.from({ length: numFrames }, () => image);
          const items = [
            { type: "image", image } as const,
            { type: "video", video: videoOf(frames) } as const,
          ];
          const asked = system.maxMedia > 1 ? [items] : items.map((item) => [item]);
          for (const row of asked) {
            const prepared = await Promise.all(row.map((item) => media.prepare(item)));
            const reports = row.map((item) => media.plan(item));
            const ids = [...text, ...row.map(() => imagePlaceholderId), 5];
            const encoded = await encoder.encodePrompt(
              ids,
              prepared.map((item) => item.input),
            );
            // A router takes one of the options that were planned, and never more than the most.
            const taken = withRoutes(reports, encoded.routes);
            taken.forEach(({ tokens, routes = [] }, index) => {
              const { tokens: most, tokenOptions } = reports[index];
              if (tokenOptions?.chosenBy === "router") expect(tokens).toBeLessThanOrEqual(most);
              else expect(tokens).toBe(most);
              for (const { granularity, tokens: own } of routes) {
                expect(tokenOptions?.allowed).toContainEqual({ granularity, tokens: own });
              }
            });
            expect(encoded.visualTokens).toEqual(taken.map(({ tokens }) => tokens));
            const total = taken.reduce((sum, { tokens }) => sum + tokens, 0);
            expect(encoded.embeddings.shape).toEqual([
              1,
              text.length + 1 + total,
              system.language.width,
            ]);
            expect(encoded.embeddings.data.every(Number.isFinite)).toBe(true);
          }
        },
      ),
      { numRuns: 8 },
    );
    await opened.close();
  });
});
