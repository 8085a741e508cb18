import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
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

describe.skipIf(driver === undefined)("WebGPU in Node, computed by SwiftShader", () => {
  it("llava-mini-image-c1: every recorded tensor is reproduced", async () => {
    const module = pathToFileURL(join(root, "src/verify/verify-folder.node.ts")).href;
    const script = `
      import { verifyFolder } from ${JSON.stringify(module)};
      const result = await verifyFolder("test/fixtures/llava-mini-image-c1", { provider: "webgpu" });
      process.stdout.write(JSON.stringify(result));`;
    // A process of its own: the driver is chosen when ONNX Runtime is loaded.
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--import", "./scripts/typescript.mjs", "--input-type=module", "--eval", script],
      { cwd: root, env: { ...process.env, VK_ICD_FILENAMES: driver } },
    );
    const { ok, tensors } = JSON.parse(stdout) as VerifyResult;
    expect(tensors.filter((verdict) => !verdict.ok)).toEqual([]);
    expect(tensors).toHaveLength(36);
    expect(ok).toBe(true);
  }, 300_000);
});
