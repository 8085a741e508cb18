import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { createRenameTable, joinRenameTables } from "../../src/weights/rename.js";

const layer = createRenameTable([
  ["attention.query", "self_attn.q_proj"],
  ["attention.output", "self_attn.o_proj"],
  ["norm1", "input_layernorm"],
]);
const decoder = joinRenameTables(
  layer.under("layers.{i}", "model.layers.{i}"),
  createRenameTable([
    ["embedding", "model.embed_tokens.weight"],
    ["experts.{e}.blocks.{i}", "h.{i}.mlp.{e}"],
    ["projector.first", "model.mm_projector.0"],
    ["projector.second", "model.mm_projector.2"],
  ]),
);

describe("a table", () => {
  test("maps exact names and everything below them", () => {
    expect(decoder.toPublished("layers.12.attention.query.weight")).toBe(
      "model.layers.12.self_attn.q_proj.weight",
    );
    expect(decoder.toPublished("embedding")).toBe("model.embed_tokens.weight");
    expect(decoder.toPublished("experts.3.blocks.5.w")).toBe("h.5.mlp.3.w");
    expect(decoder.toInternal("model.mm_projector.2.bias")).toBe("projector.second.bias");
  });

  test("leaves names that no rule covers alone", () => {
    for (const name of ["layers.x.norm1", "layers.1", "layers.01.norm1", "embeddings", ""]) {
      expect(decoder.toPublished(name)).toBeUndefined();
      expect(decoder.toInternal(name)).toBeUndefined();
    }
  });

  test("the root can be moved as a whole", () => {
    const vision = createRenameTable([["", "vision_model"]]).under("vision", "tower");
    expect(vision.toPublished("vision.a.b")).toBe("tower.vision_model.a.b");
    expect(vision.toInternal("tower.vision_model.a.b")).toBe("vision.a.b");
    expect(createRenameTable([["", ""]]).toPublished("a.b")).toBe("a.b");
  });
});

const segment = fc.constantFrom("a", "b", "c", "w", "0", "1", "{i}", "{j}");
const template = fc.array(segment, { maxLength: 4 }).map((segments) => segments.join("."));
const anyTable = fc
  .array(fc.tuple(template, template), { minLength: 1, maxLength: 5 })
  .map((rules) => {
    try {
      return createRenameTable(rules);
    } catch (error) {
      if (error instanceof OptionsError) return undefined;
      throw error;
    }
  })
  .filter((table) => table !== undefined);
const anyName = fc
  .array(fc.constantFrom("a", "b", "c", "w", "0", "1", "17"), { minLength: 1, maxLength: 6 })
  .map((segments) => segments.join("."));

test("renaming and renaming back is the identity, both ways, for every table that can be made", () => {
  let renamed = 0;
  fc.assert(
    fc.property(anyTable, fc.array(anyName, { minLength: 20, maxLength: 20 }), (table, names) => {
      for (const name of names) {
        const published = table.toPublished(name);
        if (published !== undefined) {
          renamed++;
          expect(table.toInternal(published)).toBe(name);
        }
        const internal = table.toInternal(name);
        if (internal !== undefined) expect(table.toPublished(internal)).toBe(name);
      }
    }),
    { numRuns: 300 },
  );
  expect(renamed).toBeGreaterThan(100);
});

describe("tables without an inverse are refused", () => {
  const cases: [string, [string, string][], RegExp][] = [
    [
      "two rules for one name",
      [
        ["a", "x"],
        ["a", "y"],
      ],
      /at most one rule/,
    ],
    [
      "one rule below another",
      [
        ["a", "x"],
        ["a.b", "y"],
      ],
      /at most one rule/,
    ],
    [
      "two rules to one name",
      [
        ["a", "x"],
        ["b", "x.y"],
      ],
      /every published name/,
    ],
    [
      "a wildcard beside a number",
      [
        ["h.{i}", "x.{i}"],
        ["h.0", "y"],
      ],
      /at most one rule/,
    ],
    ["a lost wildcard", [["h.{i}", "x"]], /same wildcards/],
    ["a repeated wildcard", [["h.{i}.{i}", "x.{i}.{i}"]], /once per side/],
    ["half a wildcard", [["h{i}", "x{i}"]], /whole wildcard/],
    ["an empty segment", [["h..a", "x"]], /plain or a whole wildcard/],
  ];
  test.each(cases)("%s", (_, rules, message) => {
    expect(() => createRenameTable(rules)).toThrow(OptionsError);
    expect(() => createRenameTable(rules)).toThrow(message);
  });
});
