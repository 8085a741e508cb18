import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelConfigError, OptionsError, WeightsMismatchError } from "../../src/errors.js";
import { presets } from "../../src/load/presets.js";
import {
  fixedAvgLlava,
  parseAvgLlavaConfig,
  releasedAvgLlava,
} from "../../src/systems/avg-llava-config.js";
import type { MediaInput } from "../../src/systems/encoder.js";
import { parseSystem } from "../../src/systems/system.js";
import type { TokenChoice } from "../../src/systems/token-choice.js";
import { float32 } from "../../src/tensor-data.js";
import { imagePlaceholderId } from "../../src/text/image-placeholder.js";
import { type OpenedEncoder, openEncoder } from "../support/open-encoder.js";
import { expectClose } from "../support/reference-tensors.js";
import { randomImage, tinyModels, tower, useModelFolders } from "../support/tiny-models.js";

const { config } = tinyModels.avg;
const parse = (changes: object) => parseAvgLlavaConfig({ ...config, ...changes }, tower);
const folders = useModelFolders();

describe("an AVG-LLaVA config", () => {
  test("is told from LLaVA's by its granularities, and has the released behaviour unless it says", () => {
    expect(parseSystem(config, tower).config.system).toBe("avg-llava");
    const { vis_token_granularity: _, ...plain } = config;
    expect(parseSystem(plain, tower).config.system).toBe("llava-next");
    expect(parse({}).variant).toEqual(releasedAvgLlava);
    expect(parse({ avg_llava_variant: "fixed" }).variant).toEqual(fixedAvgLlava);
    expect(parseAvgLlavaConfig(config, tower, fixedAvgLlava).variant).toEqual(fixedAvgLlava);
  });

  test("takes what it does not say as the released code does", () => {
    const { filtered_text_num: _, ...silent } = config;
    const parsed = parseAvgLlavaConfig(silent, tower);
    expect(parsed.router?.filteredTokens).toBe(32);
    expect(parsed.ranking).toEqual({ margin: 0.1, rankWeight: 1, crossEntropyWeight: 1 });
    expect(parse({ router_select: false }).router).toBeUndefined();
  });

  test.each([
    ["unsorted granularities", { vis_token_granularity: [16, 4] }],
    ["indivisible granularities", { vis_token_granularity: [5, 16] }],
    ["granularities beyond a view", { vis_token_granularity: [16, 32] }],
    ["no granularity", { vis_token_granularity: [] }],
    ["granularities that are no list", { vis_token_granularity: "36,72" }],
    ["a router with nothing to choose", { vis_token_granularity: [16] }],
    ["a router that reads fewer text tokens than none", { filtered_text_num: -1 }],
    ["a width that heads do not divide", { hidden_size: 44, num_attention_heads: 2 }],
    ["a class token", { mm_vision_select_feature: "cls_patch" }],
    ["an unknown variant", { avg_llava_variant: "mended" }],
  ])("with %s is refused", (_, changes) => {
    expect(() => parse(changes)).toThrow(ModelConfigError);
  });

  test.each([
    ["LLaVA-Mini", tinyModels["mini-2"].config, "has fused its few with the question"],
    ["LLaVA-UHD", presets["tiny-llava-uhd"].config, "grids of their own"],
    ["Hugging Face's layout", tinyModels["llava-next-hf"].config, "no published names"],
  ])("of %s with granularities is refused, and says why", (_, base, reason) => {
    const asking = { ...base, vis_token_granularity: [1, 4] };
    expect(() => parseSystem(asking, tower)).toThrow(ModelConfigError);
    expect(() => parseSystem(asking, tower)).toThrow(reason);
    expect(() => parseSystem({ ...base, vis_token_granularity: null }, tower)).not.toThrow();
  });

  test("of another system has no AVG-LLaVA variant", () => {
    const options = { avgLlava: fixedAvgLlava };
    expect(() => parseSystem(tinyModels["llava-next"].config, tower, options)).toThrow(
      OptionsError,
    );
  });

  test("whose router has another size than the weights is refused with all that differs", async () => {
    const folder = await folders.write("avg", (tensors) => {
      tensors.set("model.router.voter", float32([7, 1], new Float32Array(7)));
      tensors.delete("model.router.norm.bias");
    });
    const failure = await openEncoder(folder).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(WeightsMismatchError);
    expect(failure).toMatchObject({ missing: ["model.router.norm.bias"] });
    expect(String((failure as WeightsMismatchError).wrongShape)).toContain("model.router.voter");
  });
});

describe("the router of a prompt", () => {
  let opened: OpenedEncoder;
  beforeAll(async () => {
    opened = await openEncoder(await folders.write("avg"), { featureCacheBytes: 2 ** 20 });
  });
  afterAll(() => opened.close());

  const inputOf = async (
    [width, height]: readonly [number, number],
    seed: number,
    choice?: TokenChoice,
  ): Promise<Extract<MediaInput, { kind: "image" }>> => {
    const image = randomImage(width, height, seed);
    const { input } = await opened.media.prepare({
      type: "image",
      image,
      ...(choice && { choice }),
    });
    if (input.kind !== "image") throw new Error("inputOf: an image is an image");
    return input;
  };
  const text = Array.from({ length: 12 }, (_, place) => 5 + 7 * place);
  const asked = [1, imagePlaceholderId, ...text];

  test("chooses for each image by itself, from the text of the whole prompt", async () => {
    const [first, second] = [await inputOf([60, 40], 1), await inputOf([30, 90], 2)];
    const alone = [
      await opened.encoder.encodePrompt(asked, [first]),
      await opened.encoder.encodePrompt(asked, [second]),
    ];
    // The same words around two images: the order of text and images does not matter to the filter.
    const both = await opened.encoder.encodePrompt(
      [1, imagePlaceholderId, ...text.slice(0, 5), imagePlaceholderId, ...text.slice(5)],
      [first, second],
    );
    expect(both.routes).toEqual(alone.map(({ routes }) => routes?.[0]));
    expect(both.visualTokens).toEqual(alone.map(({ visualTokens }) => visualTokens[0]));
  });

  test("depends on the text, and its probabilities add up to one", async () => {
    const image = await inputOf([60, 40], 3);
    const routeOf = async (ids: readonly number[]) =>
      (await opened.encoder.encodePrompt(ids, [image])).routes?.[0]?.[0];
    const route = await routeOf(asked);
    const other = await routeOf([1, imagePlaceholderId, 200, 210, 220]);
    expect(route?.logits).not.toEqual(other?.logits);
    const sum = route?.probabilities?.reduce((total, share) => total + share, 0);
    expect(sum).toBeCloseTo(1, 6);
    const best = route?.logits?.indexOf(Math.max(...(route.logits ?? [])));
    expect(route?.granularity).toBe([1, 2, 4, 8, 16][best ?? -1]);
  });

  test("is not asked where the choice is made, and then gives what it would have chosen", async () => {
    const routed = await opened.encoder.encodePrompt(asked, [await inputOf([60, 40], 4)]);
    const granularity = routed.routes?.[0]?.[0].granularity ?? 0;
    const forced = await opened.encoder.encodePrompt(asked, [
      await inputOf([60, 40], 4, { granularity }),
    ]);
    expect(forced.routes?.[0]?.[0]).toEqual({
      granularity,
      tokens: routed.visualTokens[0],
      chosenBy: "request",
    });
    expect(forced.timings.routerMs).toBeUndefined();
    expect(routed.timings.routerMs).toBeGreaterThan(0);
    expectClose(forced.embeddings, routed.embeddings, 0);
  });

  test("chooses the best that the budget allows", async () => {
    const plan = (choice: TokenChoice) => inputOf([60, 40], 5, choice);
    const free = await opened.encoder.encodePrompt(asked, [await plan({})]);
    const { logits = [] } = free.routes?.[0]?.[0] ?? {};
    const { all = [] } = opened.encoder.tokenOptions?.((await plan({})).views.plan) ?? {};
    for (const { tokens: maxSoftTokens } of all.slice(1)) {
      const bound = await opened.encoder.encodePrompt(asked, [await plan({ maxSoftTokens })]);
      const affordable = all.flatMap(({ tokens }, index) =>
        tokens <= maxSoftTokens ? [index] : [],
      );
      const best = affordable.reduce((left, right) =>
        logits[right] > logits[left] ? right : left,
      );
      expect(bound.routes?.[0]?.[0].granularity).toBe(all[best].granularity);
      expect(bound.visualTokens[0]).toBeLessThanOrEqual(maxSoftTokens);
    }
  });

  test("has nothing to say about a prompt of text", async () => {
    const { routes, visualTokens, embeddings } = await opened.encoder.encodePrompt(
      [1, ...text],
      [],
    );
    expect([routes, visualTokens]).toEqual([[], []]);
    expect(embeddings.shape[1]).toBe(13);
  });
});

describe("earlier answers", () => {
  const ids = [1, imagePlaceholderId, 9, 8, 7, 30, 31, 32, 12, 13];
  const isAnswer = ids.map((id) => id >= 30 && id <= 32);
  const logitsOf = async (name: "avg" | "avg-fixed", prompt: readonly number[], marked = true) => {
    const opened = await openEncoder(await folders.write(name));
    const { input } = await opened.media.prepare({ type: "image", image: randomImage(60, 40, 6) });
    const { routes } = await opened.encoder.encodePrompt(prompt, [input], {
      ...(marked && { isAnswer: prompt.map((_, place) => isAnswer[place]) }),
    });
    await opened.close();
    return routes?.[0]?.[0].logits;
  };

  test("are read as part of the question as released, and left out in the fixed variant", async () => {
    const without = ids.filter((_, place) => !isAnswer[place]);
    expect(await logitsOf("avg", ids)).not.toEqual(await logitsOf("avg", without, false));
    expect(await logitsOf("avg-fixed", ids)).toEqual(await logitsOf("avg-fixed", without, false));
  });
});
