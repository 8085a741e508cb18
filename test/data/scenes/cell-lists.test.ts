import { expect, test } from "vitest";
import { listCells } from "../../../src/data/scenes/descriptions.js";
import { sampleScene } from "../../../src/data/scenes/sample.js";
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

test("scenes that are no grid have none", () => {
  expect(
    listCells(sampleScene({ seed: 3, split: "train", index: 0, kind: "detail" }), "cells"),
  ).toBeUndefined();
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
