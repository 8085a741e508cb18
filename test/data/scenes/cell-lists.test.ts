import { expect, test } from "vitest";
import { listCells } from "../../../src/data/scenes/descriptions.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
import { detailTypes } from "../../../src/data/scenes/sample-detail.js";
import type { SimpleScene } from "../../../src/data/scenes/scene.js";

const scenes = Array.from({ length: 60 }, (_, index) =>
  sampleScene({ seed: 3, split: "train", index, kind: "simple" }),
);

const sentencesOf = (text = ""): string[] => text.split(/(?<=\.) /);

test("cells are told row by row, each with what stands in it", () => {
  const rows = ["top", "middle", "bottom"];
  const columns = ["left", "centre", "right"];
  for (const scene of scenes) {
    const sentences = sentencesOf(listCells(scene, "cells"));
    expect(sentences).toHaveLength(scene.grid.rows * scene.grid.columns);
    const places = sentences.map((sentence) => {
      const [, vertical = "middle", horizontal] =
        /^The (?:(top|middle|bottom) )?(left|centre|right) (?:shows|is)/.exec(sentence) ?? [];
      return 3 * rows.indexOf(vertical) + columns.indexOf(horizontal);
    });
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(countNamed(sentences, scene)).toBe(scene.grid.things.length);
  }
});

test("places are the same sentences in an order that follows from the variant", () => {
  let numMoved = 0;
  for (const scene of scenes) {
    const cells = sentencesOf(listCells(scene, "cells"));
    const places = sentencesOf(listCells(scene, "places", 5));
    expect([...places].sort()).toEqual([...cells].sort());
    expect(listCells(scene, "places", 5)).toBe(places.join(" "));
    numMoved += Number(places.join() !== cells.join());
  }
  expect(numMoved).toBeGreaterThan(50);
});

test("things come before their places, once each, without empty cells", () => {
  for (const scene of scenes) {
    const sentences = sentencesOf(listCells(scene, "things", 2));
    expect(sentences).toHaveLength(scene.grid.things.length);
    const cells = listCells(scene, "cells");
    for (const sentence of sentences) {
      const [, what, place] =
        /^(An? .+?) ((?:top |middle |bottom )?(?:left|centre|right))\.$/.exec(sentence) ?? [];
      expect(cells).toContain(`The ${place} shows ${what?.[0].toLowerCase()}${what?.slice(1)}`);
    }
  }
});

test("print is listed in reading order, each piece behind what it belongs to", () => {
  for (const detail of detailTypes) {
    const scene = sampleScene({ seed: 3, split: "train", index: 4, kind: "detail", detail });
    const { content } = scene;
    const printed =
      content.type === "labels"
        ? content.grid.things.map(({ label }) => String(label))
        : content.type === "receipt"
          ? content.items.map(({ cents }) => (cents / 100).toFixed(2))
          : content.type === "table"
            ? content.values.flat().map(String)
            : content.type === "chart"
              ? content.bars.map(({ value }) => String(value))
              : content.panels.map(({ text }) => text);
    const cells = listCells(scene, "cells") ?? "";
    let from = 0;
    for (const text of printed) {
      from = cells.indexOf(` ${text}`, from);
      expect(from, `${text} of ${detail} in "${cells}"`).toBeGreaterThanOrEqual(0);
    }
    const things = listCells(scene, "things", 2) ?? "";
    expect(sentencesOf(things).sort()).toEqual(sentencesOf(cells).sort());
  }
});

test("clips have no list, and print has no places to be found by", () => {
  const sample = (kind: "clip" | "detail") =>
    sampleScene({ seed: 3, split: "train", index: 0, kind });
  expect(listCells(sample("clip"), "cells")).toBeUndefined();
  expect(listCells(sample("detail"), "places")).toBeUndefined();
});

/** How many sentences name a thing of the scene as standing there. */
function countNamed(sentences: readonly string[], { grid }: SimpleScene): number {
  const left = grid.things.map(({ name }) => name);
  return sentences.filter((sentence) => {
    const at = left.findIndex((name) => / shows an? /.test(sentence) && sentence.includes(name));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  }).length;
}
