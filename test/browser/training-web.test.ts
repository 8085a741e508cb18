import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { type BrowserSession, hasChromium, startChromium } from "../support/chromium-page.js";
import type { Library } from "./page.js";
import { trainCopying } from "./train-copying.js";

/** WebGPU is drawn by the processor here, and compiles a shader for each kind of node. */
const numSteps = { wasm: 50, webgpu: 12 };
const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

let session: BrowserSession;

const trainInPage = async (provider: "wasm" | "webgpu"): Promise<number[]> => {
  const page = await session.openPage("isolated");
  return page.evaluate(
    async ([chosen, steps]) => {
      const { library } = globalThis as unknown as { library: Library };
      const engine = library.createWebEngine({ provider: chosen });
      try {
        return await library.trainCopying(engine, steps);
      } finally {
        await engine.close();
      }
    },
    [provider, numSteps[provider]] as const,
  );
};

describe.skipIf(!hasChromium)("training in Chromium", () => {
  beforeAll(async () => {
    session = await startChromium({ webgpu: true });
  }, 60_000);
  afterAll(() => session?.close());

  it.each(["wasm", "webgpu"] as const)(
    "%s: the loss falls as it does in Node",
    async (provider) => {
      const engine = createNodeEngine({ threads: 1 });
      const expected = await trainCopying(engine, numSteps[provider]);
      await engine.close();
      const losses = await trainInPage(provider);
      expect(losses).toHaveLength(numSteps[provider]);
      const share = provider === "wasm" ? 0.75 : 1;
      expect(mean(losses.slice(-3))).toBeLessThan(share * mean(losses.slice(0, 3)));
      // The same numbers, before rounding has had time to grow.
      for (const [step, loss] of losses.slice(0, 10).entries()) {
        expect(Math.abs(loss / expected[step] - 1), `step ${step}`).toBeLessThan(1e-3);
      }
    },
    600_000,
  );
});
