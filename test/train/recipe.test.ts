import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RecipeError } from "../../src/errors.js";
import { planGroups, selectNames } from "../../src/train/parameter-patterns.js";
import { findDifferences, parseRecipe, recipeIdentity } from "../../src/train/recipe.js";

const text = `
name: small
model:
  from: ./folder
stages:
  - name: tuning
    train: ["**"]
    groups:
      - { name: all, parameters: ["**"], learningRate: 1e-4 }
    data:
      train: [{ path: a.json, format: llava }]
      maxLength: 128
    batchSize: 8
    epochs: 2
    schedule: { kind: cosine, warmupRatio: 0.03 }
`;
/** The recipe with one line put in another's place. */
const changed = (from: string, to: string): string => {
  expect(text).toContain(from);
  return text.replace(from, to);
};

describe("recipes", () => {
  it("say why the arithmetic is float32", () => {
    const half = changed("batchSize: 8", "batchSize: 8\n    precision: bfloat16");
    expect(() => parseRecipe(half, "small.yaml")).toThrow(
      /small.yaml:\d+: stages\[0\].precision: must be float32.*no bfloat16 kernels/,
    );
    expect(() => parseRecipe(half.replace("bfloat16", "float32"), "small.yaml")).not.toThrow();
  });

  it("are the same run with and without gradient checkpointing", () => {
    const less = changed("batchSize: 8", "batchSize: 8\n    gradientCheckpointing: true");
    expect(
      findDifferences(
        recipeIdentity(parseRecipe(text, "a.yaml")),
        recipeIdentity(parseRecipe(less, "b.yaml")),
      ),
    ).toEqual([]);
  });

  it("are typed, with defaults for what may be left out", () => {
    const { seed, model, stages } = parseRecipe(text, "small.yaml");
    expect({ seed, model }).toEqual({ seed: 0, model: { from: "./folder", initialise: [] } });
    expect(stages[0]).toMatchObject({
      visionTokens: "reduced",
      accumulation: 1,
      epochs: 2,
      adamW: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
      checkpoint: { everySteps: 100, keep: 3 },
      groups: [{ learningRate: 1e-4, weightDecay: 0 }],
      data: { tooLong: "refuse", buckets: 4, train: [{ sampling: "all" }] },
    });
  });

  const unknown: [string, string, RegExp][] = [
    [
      "name: small",
      "name: small\nseeed: 1",
      /small\.yaml:3: unknown key "seeed" in a recipe; valid keys are name, description, model, seed, stages/,
    ],
    [
      "    batchSize: 8",
      "    batchsize: 8\n    batchSize: 8",
      /small\.yaml:13: unknown key "batchsize" in stages\[0\]; valid keys are name, .*batchSize/,
    ],
    [
      "warmupRatio: 0.03",
      "warmup: 0.03",
      /unknown key "warmup" in stages\[0\]\.schedule; valid keys are kind, warmupSteps, warmupRatio, minRatio/,
    ],
    [
      "learningRate: 1e-4",
      "learningRate: 1e-4, lr: 1",
      /small\.yaml:9: unknown key "lr" in stages\[0\]\.groups\[0\]; valid keys are name, parameters, learningRate, weightDecay/,
    ],
    [
      "    epochs: 2",
      "    epochs: 2\n    adamW: { beta3: 1 }",
      /unknown key "beta3" in stages\[0\]\.adamW; valid keys are beta1, beta2, epsilon/,
    ],
    [
      "format: llava",
      "format: llava, shuffle: no",
      /unknown key "shuffle" in stages\[0\]\.data\.train\[0\]; valid keys are path, format, scenes, template, mediaRoot, sampling/,
    ],
    [
      "{ path: a.json, format: llava }",
      "{ scenes: { count: 5, turns: all } }",
      /unknown key "turns" in stages\[0\]\.data\.train\[0\]\.scenes; valid keys are count, first, seed/,
    ],
  ];
  it("name files or scenes as data, not both and not neither", () => {
    const read = (dataset: string) =>
      parseRecipe(changed("{ path: a.json, format: llava }", dataset), "small.yaml");
    const scenes = "scenes: { count: 5, contents: [questions], maxTurns: 3 }";
    expect(read(`{ ${scenes} }`).stages[0].data.train).toEqual([
      { scenes: { count: 5, contents: ["questions"], maxTurns: 3 }, sampling: "all" },
    ]);
    for (const wrong of [`{ path: a.json, format: llava, ${scenes} }`, "{}", "{ path: a.json }"])
      expect(() => read(wrong)).toThrow(/give path and format, or scenes/);
  });

  it.each(unknown)(
    "with an unknown key say where it is and what is possible (%#)",
    (from, to, message) => {
      const parse = () => parseRecipe(changed(from, to), "small.yaml");
      expect(parse).toThrow(RecipeError);
      expect(parse).toThrow(message);
    },
  );

  const wrong: [string, string, RegExp][] = [
    ["batchSize: 8", "batchSize: 0", /small\.yaml:13: stages\[0\]\.batchSize/],
    [
      "epochs: 2",
      "epochs: 2\n    steps: 5",
      /small\.yaml:6: stages\[0\]: give either steps or epochs/,
    ],
    ["    epochs: 2\n", "", /give either steps or epochs/],
    ["warmupRatio: 0.03", "warmupRatio: 0.03, warmupSteps: 1", /not both/],
    ["kind: cosine", "kind: sine", /stages\[0\]\.schedule\.kind/],
    ["format: llava", "format: llava, sampling: 'some'", /must be all, first:N/],
    [
      "    epochs: 2",
      "    epochs: 2\n    validation: { everySteps: 1, batches: 1 }",
      /needs data\.validation/,
    ],
    ["name: tuning", "name: ../tuning", /as it names a folder/],
    ["name: small", "name: small\nname: large", /must be YAML, got .*unique/],
    ["model:", "model: *nowhere\nmodel2:", /nowhere/],
    [text, "", /the recipe: /],
    [text, "[1, 2", /must be YAML/],
  ];
  it.each(wrong)("with a wrong value say which and where (%#)", (from, to, message) => {
    expect(() => parseRecipe(changed(from, to), "small.yaml")).toThrow(message);
  });

  it("that are text of any kind are refused by a RecipeError or taken", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ unit: "grapheme" })), (any) => {
        try {
          parseRecipe(any, "any.yaml");
        } catch (error) {
          expect(error).toBeInstanceOf(RecipeError);
        }
      }),
    );
  });

  it("differ where what they compute differs, and only there", () => {
    const recipe = parseRecipe(text, "small.yaml");
    const faster = parseRecipe(changed("1e-4", "2e-4"), "small.yaml");
    const saving = parseRecipe(
      changed("    epochs: 2", "    epochs: 2\n    checkpoint: { everySteps: 1 }"),
      "small.yaml",
    );
    expect(findDifferences(recipeIdentity(recipe), recipeIdentity(faster))).toEqual([
      "stages[0].groups[0].learningRate",
    ]);
    expect(findDifferences(recipeIdentity(recipe), recipeIdentity(saving))).toEqual([]);
  });

  const folder = fileURLToPath(new URL("../../recipes/", import.meta.url));
  it.each(readdirSync(folder).filter((name) => name.endsWith(".yaml")))("%s is one", (name) => {
    expect(parseRecipe(readFileSync(folder + name, "utf8"), name).name).toBe(
      name.replace(".yaml", ""),
    );
  });
});

describe("parameter patterns", () => {
  const names = [
    "projector.first.weight",
    "projector.first.bias",
    "language.layers.0.mlp.up.weight",
    "language.layers.1.mlp.up.weight",
    "language.layers.10.mlp.up.weight",
    "language.head",
    "compressor.query",
  ];
  const select = (...patterns: string[]): string[] => selectNames(patterns, names, "test");

  it("choose by parts: one, any number, either of several", () => {
    expect(select("**")).toEqual(names);
    expect(select("language.**")).toEqual(names.slice(2, 6));
    expect(select("**.bias")).toEqual(["projector.first.bias"]);
    expect(select("*.head", "compressor.query")).toEqual(["language.head", "compressor.query"]);
    expect(select("language.layers.1*.**")).toEqual(names.slice(3, 5));
    expect(select("language.layers.{0,1}.**")).toEqual(names.slice(2, 4));
    expect(select("language.**.up.**")).toEqual(names.slice(2, 5));
  });

  it("take out with !, in the order in which they stand", () => {
    expect(select("**", "!language.**", "language.head")).toEqual([
      ...names.slice(0, 2),
      "language.head",
      "compressor.query",
    ]);
  });

  it("that fit nothing or are malformed are refused", () => {
    for (const pattern of ["projecter.**", "!vision.**", "language.head.*", "lang"]) {
      expect(() => select("**", pattern)).toThrow(/fits none of 7/);
    }
    for (const pattern of ["a..b", "", "a**", "{a", "a.{b.c}"]) {
      expect(() => select(pattern)).toThrow(RecipeError);
    }
  });

  it("a name is a pattern of itself, and no other name fits it", () => {
    const part = fc.stringMatching(/^[a-z0-9_+$^()|[\]-]{1,6}$/);
    const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join("."));
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1 }), (all) => {
        for (const one of all) expect(selectNames([one], all, "test")).toEqual([one]);
      }),
    );
  });

  it("give every parameter to the first group that takes it", () => {
    const plain = { learningRate: 1 };
    const groups = planGroups(names, [
      { name: "bias", parameters: ["**.bias"], ...plain },
      { name: "language", parameters: ["language.**"], ...plain },
      { name: "rest", parameters: ["**"], ...plain },
    ]);
    expect(groups.flatMap(({ parameters }) => parameters).sort()).toEqual([...names].sort());
    expect(groups[0]).toEqual({ name: "bias", parameters: ["projector.first.bias"], ...plain });
    expect(groups[2].parameters).toEqual(["projector.first.weight", "compressor.query"]);
    expect(() => planGroups(names, [{ name: "some", parameters: ["language.**"] }])).toThrow(
      /3 without one, the first is "projector.first.weight"/,
    );
    expect(() =>
      planGroups(names, [
        { name: "all", parameters: ["**"] },
        { name: "none", parameters: ["**.bias"] },
      ]),
    ).toThrow(/group "none" must get a parameter/);
  });
});
