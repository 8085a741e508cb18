import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { findChromium } from "../../scripts/chromium.mjs";
import type { VerifyResult } from "../../src/verify/verify.js";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The description of SwiftShader's Vulkan driver, which lies next to Chromium. */
const findDriver = (): string | undefined => {
  const chromium = findChromium();
  const folders = [
    ...(chromium ? [dirname(realpathSync(chromium))] : []),
    "/usr/lib/chromium",
    "/opt/google/chrome",
  ];
  return folders
    .map((folder) => join(folder, "vk_swiftshader_icd.json"))
    .find((path) => existsSync(path));
};

const driver = findDriver();
if (driver === undefined) {
  process.stderr.write("skipped: WebGPU in Node needs SwiftShader (vk_swiftshader_icd.json)\n");
}

/** Operators of the nodes that the log says are computed on the processor. */
const onProcessor = (log: string): string[] => {
  const operators = new Set<string>();
  let isProcessor = false;
  for (const line of log.split("\n")) {
    const place = /(?:Node\(s\)|All nodes) placed on \[(\w+)\]/.exec(line)?.[1];
    if (place !== undefined) isProcessor = place === "CPUExecutionProvider";
    const operator = / {2}(\w+) \(\1:/.exec(line)?.[1];
    if (isProcessor && operator !== undefined) operators.add(operator);
  }
  return [...operators].sort();
};

/** What computes sizes, places and masks of integers, for which WebGPU has no kernels. */
const integerOperators = "Add Cast Concat Gather Less Mul Range Shape Slice Squeeze Unsqueeze";

/** The driver, and where Chromium's own Vulkan loader lies: a machine need not have another one. */
const vulkan = driver && {
  VK_ICD_FILENAMES: driver,
  LD_LIBRARY_PATH: [process.env.LD_LIBRARY_PATH, dirname(driver)].filter(Boolean).join(delimiter),
};

describe.skipIf(driver === undefined)("WebGPU in Node, computed by SwiftShader", () => {
  it("llava-mini-image-c1: all tensors are reproduced, computed by no other provider", async () => {
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [
        "--import",
        "./scripts/typescript.mjs",
        "test/support/webgpu-placement.ts",
        "test/fixtures/llava-mini-image-c1",
      ],
      { cwd: root, env: { ...process.env, ...vulkan }, maxBuffer: 1 << 28 },
    );
    const { ok, tensors } = JSON.parse(stdout) as VerifyResult;
    expect(tensors.filter((verdict) => !verdict.ok)).toEqual([]);
    expect(tensors).toHaveLength(36);
    expect(ok).toBe(true);

    expect(stderr).toMatch(/placed on \[WebGpuExecutionProvider\]/);
    const strays = onProcessor(stderr).filter(
      (operator) => !integerOperators.split(" ").includes(operator),
    );
    expect(onProcessor(stderr)).toContain("Concat");
    expect(strays).toEqual([]);
  }, 300_000);
});
