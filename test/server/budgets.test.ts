import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { type RunningServer, startServer } from "../../src/server/index.js";
import { dataUrl, hookTimeoutMs, randomPng } from "../support/server.js";

const folder = mkdtempSync(join(tmpdir(), "saccade-budgets-"));
let server: RunningServer;
let picture: string;
beforeAll(async () => {
  picture = dataUrl(await randomPng(700, 500));
  const models: Record<string, string> = {};
  for (const [name, preset] of [
    ["avg", "tiny-avg-llava"],
    ["uhd", "tiny-llava-uhd"],
    ["mini", "tiny-llava-mini"],
  ] as const) {
    models[name] = join(folder, name);
    await writeNewModel(models[name], preset, 0);
  }
  server = await startServer({ models, port: 0, load: { threads: 1 } });
  await server.ready;
}, hookTimeoutMs);
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

type Told = {
  readonly error?: { readonly message: string };
  readonly usage: { readonly prompt_tokens_details: { readonly image_tokens: number } };
  readonly vision: {
    readonly flops: { readonly total: number };
    readonly media: readonly {
      readonly tokens: number;
      readonly width: number;
      readonly original?: { readonly width: number };
      readonly views: readonly unknown[];
      readonly asked?: object;
      readonly applied?: object;
      readonly granularities?: readonly { readonly granularity: number }[];
      readonly routes?: readonly { readonly granularity: number; readonly chosen_by: string }[];
    }[];
  };
};

const ask = async (model: string, look: object, more: object = {}) => {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model,
      max_tokens: 2,
      messages: [
        {
          role: "user",
          content: [
            { type: "image_url", image_url: { url: picture, ...look } },
            { type: "text", text: "What?" },
          ],
        },
      ],
      ...more,
    }),
  });
  return { status: response.status, told: (await response.json()) as Told };
};
const tokensOf = async (...request: Parameters<typeof ask>): Promise<number> => {
  const { told } = await ask(...request);
  expect(told.error).toBeUndefined();
  const [medium] = told.vision.media;
  expect(told.usage.prompt_tokens_details.image_tokens).toBe(medium.tokens);
  return medium.tokens;
};

describe("a budget for each image", () => {
  test("of a model with granularities: fewest, most, one of them, a bound, or the router's choice", async () => {
    const low = await ask("avg", { detail: "low" });
    const all = low.told.vision.media[0].granularities ?? [];
    expect(all.length).toBeGreaterThan(2);
    const lowTokens = await tokensOf("avg", { detail: "low" });
    const highTokens = await tokensOf("avg", { detail: "high" });
    expect(highTokens).toBeGreaterThan(lowTokens);
    expect(await tokensOf("avg", { detail: "original" })).toBe(highTokens);
    const { granularity } = all[1];
    const middle = await tokensOf("avg", { granularity });
    expect(middle).toBeGreaterThan(lowTokens);
    expect(await tokensOf("avg", {}, { mm_processor_kwargs: { granularity } })).toBe(middle);
    expect(await tokensOf("avg", { max_soft_tokens: lowTokens })).toBe(lowTokens);
    expect(await tokensOf("avg", { detail: "high", max_soft_tokens: middle })).toBeLessThanOrEqual(
      middle,
    );
    expect(
      await tokensOf("avg", {}, { mm_processor_kwargs: { num_vision_tokens: lowTokens } }),
    ).toBe(lowTokens);
    const auto = await ask("avg", { detail: "auto" });
    const [route] = auto.told.vision.media[0].routes ?? [];
    expect(route.chosen_by).toBe("router");
    expect(all.map((option) => option.granularity)).toContain(route.granularity);
    expect((await ask("avg", { granularity: 7 })).status).toBe(400);
    expect((await ask("avg", { max_soft_tokens: 1 })).status).toBe(400);
    const high = await ask("avg", { detail: "high" });
    expect(high.told.vision.flops.total).toBeGreaterThan(low.told.vision.flops.total);
  });

  test("of a model in slices: how many, and how far patches are merged", async () => {
    const own = await ask("uhd", {});
    const views = own.told.vision.media[0].views.length;
    expect(views).toBeGreaterThan(2);
    const one = await ask("uhd", { max_slice_nums: 1 });
    expect(one.told.vision.media[0].views.length).toBe(1);
    expect(one.told.vision.media[0].applied).toEqual({ max_slice_nums: 1 });
    const fine = await tokensOf("uhd", { downsample_mode: "4x" });
    const coarse = await tokensOf("uhd", { downsample_mode: "16x" });
    expect(fine).toBeGreaterThan(2 * coarse);
    expect(await tokensOf("uhd", { detail: "high" })).toBe(fine);
    expect(await tokensOf("uhd", { detail: "low" })).toBeLessThan(coarse);
    expect((await ask("uhd", { granularity: 4 })).status).toBe(400);
  });

  test("of a model of one token: a wish changes nothing and is told, a demand is refused", async () => {
    const wish = await ask("mini", { detail: "high" });
    expect(wish.told.vision.media[0]).toMatchObject({ tokens: 1, asked: { detail: "high" } });
    expect(wish.told.vision.media[0].applied).toBeUndefined();
    expect(await tokensOf("mini", { max_soft_tokens: 1 })).toBe(1);
    for (const look of [{ granularity: 4 }, { max_slice_nums: 4 }, { downsample_mode: "4x" }]) {
      const refused = await ask("mini", look);
      expect([refused.status, refused.told.error?.message]).toEqual([400, expect.any(String)]);
    }
  });

  test("is never a hidden resize: what was asked to be resized is told with its size before", async () => {
    const [plain] = (await ask("uhd", {})).told.vision.media;
    expect([plain.width, plain.original]).toEqual([700, undefined]);
    const [small] = (await ask("uhd", { max_pixels: 20_000 })).told.vision.media;
    expect(small.original).toEqual({ width: 700, height: 500 });
    expect(small.width).toBeLessThan(700);
    expect(small.tokens).toBeLessThan(plain.tokens);
    expect((await ask("uhd", { min_pixels: 100, max_pixels: 50 })).status).toBe(400);
    expect((await ask("uhd", { min_pixels: 900_000_000 })).status).toBe(400);
  });

  test("and its choices are listed with each model", async () => {
    const { data } = (await (await fetch(`${server.url}/v1/models`)).json()) as {
      data: readonly { id: string; vision: Readonly<Record<string, unknown>> }[];
    };
    const vision = Object.fromEntries(data.map((model) => [model.id, model.vision]));
    expect(vision.avg).toMatchObject({ has_router: true, granularities: expect.any(Array) });
    expect(vision.uhd).toMatchObject({
      downsample_modes: ["16x", "4x"],
      max_slices: expect.any(Number),
    });
    expect(vision.mini).toMatchObject({
      tokens_per_image: 1,
      granularities: null,
      max_slices: null,
    });
  });
});
