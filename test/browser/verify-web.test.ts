import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { VerifyResult } from "../../src/verify/verify.js";
import { type BrowserSession, hasChromium, startChromium } from "../support/chromium-page.js";
import type { Library } from "./page.js";

let session: BrowserSession;
let page: Page;

const verify = (name: string, provider: "wasm" | "webgpu", threads?: number) =>
  page.evaluate(
    async ([address, options]) => {
      const { library } = globalThis as unknown as { library: Library };
      return library.verifyWebFolder(address, options);
    },
    [`${session.address}fixtures/${name}`, { provider, threads }] as const,
  );

const failures = ({ tensors }: VerifyResult): string[] =>
  tensors
    .filter(({ ok }) => !ok)
    .map(({ name, relativeError, reason }) => `${name}: ${reason ?? relativeError}`);

describe.skipIf(!hasChromium)("recorded models in Chromium", () => {
  beforeAll(async () => {
    session = await startChromium({ webgpu: true });
    page = await session.openPage("isolated");
  }, 60_000);
  afterAll(() => session?.close());

  const numTensors = { "clip-vision": 13, "llava-mini-image-c1": 36, "llava-mini-train-c1": 111 };
  it.each([
    ["clip-vision", "wasm", 2],
    ["llava-mini-image-c1", "wasm", 2],
    ["llava-mini-train-c1", "wasm", 2],
    ["clip-vision", "webgpu", undefined],
    ["llava-mini-image-c1", "webgpu", undefined],
  ] as const)(
    "%s on %s equals the recorded tensors",
    async (name, provider, threads) => {
      const result = await verify(name, provider, threads);
      expect(failures(result)).toEqual([]);
      expect(result.tensors).toHaveLength(numTensors[name]);
      expect(result.ok).toBe(true);
      // SwiftShader compiles every shader for a processor that others use too.
    },
    300_000,
  );
});
