import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Decoder } from "../../src/generate/decoder.js";
import { PrefixCache } from "../../src/generate/prefix-cache.js";
import { collectAnswer, loadModel, type VisionLanguageModel } from "../../src/node.js";
import { float32 } from "../../src/tensor-data.js";
import { ask } from "../support/questions.js";
import { useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
let folder: string;
let model: VisionLanguageModel;
beforeAll(async () => {
  folder = await folders.write("llava-pad");
  model = await loadModel(folder, { threads: 1 });
});
afterAll(() => model.close());

/** Lets others go on for a while. */
const pause = (turns: number) => new Promise((resolve) => setTimeout(resolve, turns));

describe("sequences decoded together", () => {
  test("that come and go at any time answer as if alone, however fast they are read", async () => {
    const questions = ["What?", "How many cats are there on the left?", "Where is it?", "Why?"];
    const requests = questions.map((text, index) =>
      ask(text, { imageSeed: index % 2 ? 3 : undefined, seed: index, maxTokens: 12 + 17 * index }),
    );
    const alone: (readonly number[])[] = [];
    for (const request of requests) alone.push((await model.answer(request)).ids);
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            question: fc.nat(3),
            delay: fc.nat(30),
            slowness: fc.constantFrom(0, 0, 3),
            leavesAfter: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
          }),
          { minLength: 2, maxLength: 7 },
        ),
        async (plans) => {
          const run = async ({ question, delay, slowness, leavesAfter }: (typeof plans)[0]) => {
            await pause(delay);
            const stream = model.stream(requests[question]);
            let pieces = 0;
            for (;;) {
              const next = await stream.next();
              if (next.done) {
                expect(next.value.ids).toEqual(alone[question]);
                return;
              }
              if (next.value.type === "text" && ++pieces === leavesAfter) break;
              if (slowness > 0) await pause(slowness);
            }
            await stream.return(undefined as never);
          };
          await Promise.all(plans.map(run));
        },
      ),
      { numRuns: 8 },
    );
  });

  test("do not wait for one whose reader has stopped reading", async () => {
    const stopped = model.stream(ask("What?", { maxTokens: 200, temperature: 0 }));
    await stopped.next();
    await stopped.next();
    const other = await model.answer(ask("Where?", { maxTokens: 60 }));
    expect(other.ids.length).toBeGreaterThan(0);
    const { ids } = await collectAnswer(stopped);
    const again = await model.answer(ask("What?", { maxTokens: 200, temperature: 0 }));
    expect(ids).toEqual(again.ids);
  });

  test("go on when one of them is aborted", async () => {
    const long = ask("Where?", { maxTokens: 60, temperature: 0 });
    const expected = (await model.answer(long)).ids;
    const controller = new AbortController();
    const aborted = model.answer(ask("What?", { maxTokens: 300, signal: controller.signal }));
    const other = model.answer(long);
    setTimeout(() => controller.abort(new Error("enough")), 20);
    await expect(aborted).rejects.toThrow("enough");
    expect((await other).ids).toEqual(expected);
  });
});

describe("prompts that begin alike", () => {
  const long = "Look at the picture closely and tell me in one word what it shows on the left.";

  test("use what earlier ones left within their scope, and answer the same", async () => {
    const caching = await loadModel(folder, { threads: 1, prefixCacheBytes: 1e8 });
    for (const scope of ["a", "b"]) {
      const first = await caching.answer({ ...ask(long, { imageSeed: 1 }), cacheScope: scope });
      expect(first.usage.cachedTokens).toBe(0);
      const again = await caching.answer({ ...ask(long, { imageSeed: 1 }), cacheScope: scope });
      expect(again.ids).toEqual(first.ids);
      expect(again.usage.cachedTokens).toBe(again.usage.promptTokens - 1);
    }
    const requests = ["What?", `${long} Why?`, "Where?", long].map((text) =>
      ask(text, { imageSeed: 1, maxTokens: 14 }),
    );
    const together = await caching.answerBatch(
      requests.map((request) => ({ ...request, cacheScope: "a" })),
    );
    for (const [index, { ids, usage }] of together.entries()) {
      expect(usage.cachedTokens).toBeGreaterThan(16);
      expect(ids).toEqual((await model.answer(requests[index])).ids);
    }
    await caching.close();
  });

  test("are kept up to a bound of bytes, the least recently used go first", async () => {
    let held = 0;
    const decoder = {
      contextLength: 64,
      createCache: async (batch: number, capacity: number) => {
        held += 1;
        const memory = { residentId: 0, dtype: "float32", shape: [8], elementOffset: 0 } as const;
        return { batch, capacity, lengths: [0], layers: [{ key: memory, value: memory }] };
      },
      releaseCache: async () => {
        held -= 1;
      },
      growCache: async (cache: unknown) => cache,
      copyRow: async () => {},
    } as unknown as Decoder;
    // Two caches of 8 floats, and 2 rows of 3 floats: 88 bytes a prompt.
    const prompts = new PrefixCache(decoder, 3, { maxBytes: 200 });
    const rows = (seed: number) =>
      float32(
        [1, 2, 3],
        Float32Array.from({ length: 6 }, () => seed),
      );
    const read = async (seed: number) => {
      const { cache, cachedTokens } = await prompts.open(rows(seed));
      cache.lengths[0] = 2;
      await prompts.keep(cache, rows(seed), []);
      return cachedTokens;
    };
    for (const seed of [1, 2, 3]) await read(seed);
    expect([prompts.bytes, held]).toEqual([176, 2]);
    await prompts.release();
    expect([prompts.bytes, held]).toEqual([0, 0]);
  });
});
