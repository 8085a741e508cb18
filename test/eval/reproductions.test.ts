import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isEqual, printed } from "../../src/eval/efficiency-figure.js";
import { renderReproductions } from "../../src/eval/reproductions.js";

const rendered = renderReproductions();

describe("docs/reproductions.md", () => {
  it("is what `npm run reproductions` writes", () => {
    const path = new URL("../../docs/reproductions.md", import.meta.url);
    expect(readFileSync(path, "utf8"), "run `npm run reproductions`").toBe(rendered);
  });

  it("says of every figure that it is equal, or why not", () => {
    const rows = rendered.split("\n").filter((line) => /^\| .*\d/.test(line));
    expect(rows.length).toBeGreaterThan(70);
    for (const row of rows) {
      const [, what, published, ours, mark] = row.split("|").map((cell) => cell.trim());
      if (what === "") continue;
      expect(mark === "equal", row).toBe(published === ours);
      expect(mark, row).not.toBe("");
    }
  });

  it("compares to the printed digit", () => {
    const figure = { what: "total", published: "8.55", ours: 8.553 };
    expect([isEqual(figure), printed(figure)]).toEqual([true, "8.55"]);
    expect(isEqual({ ...figure, ours: 8.556 })).toBe(false);
    expect(isEqual({ ...figure, published: "8.6" })).toBe(true);
    expect(isEqual({ ...figure, published: "8.553", ours: 8.5526 })).toBe(true);
  });
});
