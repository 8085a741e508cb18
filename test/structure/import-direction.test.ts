import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mayImport, universalFolders } from "../../scripts/layers.cjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** `rule: from -> to` of every violation in `folder`/src, sorted. */
const findViolations = (folder: string): Promise<string[]> =>
  new Promise((resolve, reject) => {
    const depcruise = join(root, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
    const config = join(root, ".dependency-cruiser.cjs");
    execFile(
      process.execPath,
      [depcruise, "--config", config, "--output-type", "json", "src"],
      { cwd: folder, maxBuffer: 1 << 28 },
      (error, stdout, stderr) => {
        if (!stdout.startsWith("{")) return reject(new Error(stderr, { cause: error }));
        const { summary } = JSON.parse(stdout) as {
          summary: { violations: { rule: { name: string }; from: string; to: string }[] };
        };
        resolve(summary.violations.map((v) => `${v.rule.name}: ${v.from} -> ${v.to}`).sort());
      },
    );
  });

describe("the rules, on a tree that breaks each of them", () => {
  const tree: Record<string, string> = {
    // Lawful: downward, shared files, own folder, a Node file using Node, a ring closed by a type.
    "src/errors.ts": "export class SaccadeError extends Error {}\n",
    "src/graph/tensor.ts":
      'import { SaccadeError } from "../errors.js";\nexport { SaccadeError };\n',
    "src/nn/linear.ts":
      'import type { SaccadeError } from "../graph/tensor.js";\nexport type E = SaccadeError;\n',
    "src/image/plan.ts": "export const plan = 1;\n",
    "src/image/decode.node.ts":
      'import { readFileSync } from "node:fs";\nimport { plan } from "./plan.js";\nexport { plan, readFileSync };\n',
    "src/video/frame.ts":
      'import type { Clip } from "./clip.js";\nexport class Frame { clip?: Clip }\n',
    "src/video/clip.ts":
      'import { Frame } from "./frame.js";\nexport class Clip { frame = new Frame() }\n',
    "src/systems/llava.ts": 'import { plan } from "../image/plan.js";\nexport { plan };\n',
    "src/cli/main.ts":
      'import { plan } from "../systems/llava.js";\nimport "node:path";\nexport { plan };\n',
    // Unlawful, one file for each rule.
    "src/graph/upward.ts": 'import type { E } from "../nn/linear.js";\nexport type Up = E;\n',
    "src/image/upward.ts": 'export { plan } from "../systems/llava.js";\n',
    "src/vision/sideways.ts": 'export const later = () => import("../language/llama.js");\n',
    "src/language/llama.ts": "export const width = 4096;\n",
    "src/misc/anything.ts": 'import "../errors.js";\n',
    "src/tensor-data.ts": 'export { width } from "./language/llama.js";\n',
    "src/index.ts": 'export { plan } from "./cli/main.js";\n',
    "src/text/first.ts": 'import { two } from "./second.js";\nexport const one = () => two();\n',
    "src/text/second.ts": 'import { one } from "./first.js";\nexport const two = () => one();\n',
    "src/eval/dev.ts": 'import "vitest";\nimport "zod";\n',
    "src/cost/report.ts": 'import { cpus } from "os";\nexport { cpus };\n',
    "src/generate/stream.ts": 'import "node:stream";\n',
    "src/train/log.ts": 'export { readFileSync } from "../image/decode.node.js";\n',
    "src/eval/outside.ts": 'import "../../scripts/thing.js";\nimport "../nowhere.js";\n',
    "scripts/thing.ts": "export const thing = 1;\n",
  };
  let folder = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "saccade-imports-"));
    for (const [path, text] of Object.entries(tree)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    for (const name of ["vitest", "zod"]) {
      mkdirSync(join(folder, "node_modules", name), { recursive: true });
      writeFileSync(join(folder, "node_modules", name, "index.js"), "export {};\n");
      writeFileSync(join(folder, "node_modules", name, "package.json"), JSON.stringify({ name }));
    }
    const manifest = { name: "tree", dependencies: { zod: "*" }, devDependencies: { vitest: "*" } };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module", ...manifest }));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("finds exactly these violations", async () => {
    expect(await findViolations(folder)).toEqual([
      "direction-graph: src/graph/upward.ts -> src/nn/linear.ts",
      "direction-image: src/image/upward.ts -> src/systems/llava.ts",
      "direction-vision: src/vision/sideways.ts -> src/language/llama.ts",
      "entry-points-are-doors: src/index.ts -> src/cli/main.ts",
      "folder-without-a-place: src/misc/anything.ts -> src/errors.ts",
      "no-cycle: src/text/first.ts -> src/text/second.ts",
      "no-node-file-in-universal-files: src/train/log.ts -> src/image/decode.node.ts",
      "no-node-module-in-universal-files: src/cost/report.ts -> os",
      "no-node-module-in-universal-files: src/generate/stream.ts -> stream",
      "nothing-unresolved: src/eval/outside.ts -> ../nowhere.js",
      "only-src-and-dependencies: src/eval/dev.ts -> node_modules/vitest/index.js",
      "only-src-and-dependencies: src/eval/outside.ts -> scripts/thing.ts",
      "shared-files-stand-alone: src/tensor-data.ts -> src/language/llama.ts",
    ]);
  });
});

describe("this repository", () => {
  it("has imports that point one way only", async () => {
    expect(await findViolations(root)).toEqual([]);
  });

  it("gives every folder of src/ a place in the order", () => {
    const folders = readdirSync(join(root, "src"), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    expect(folders.filter((name) => !(name in mayImport))).toEqual([]);
  });

  it("has an order without cycles, in which universal folders import universal folders only", () => {
    const placed = new Set<string>();
    const rows = Object.entries(mayImport);
    for (let round = 0; round < rows.length; round++) {
      for (const [folder, allowed] of rows) {
        if (allowed.every((name) => placed.has(name))) placed.add(folder);
      }
    }
    expect(rows.map(([folder]) => folder).filter((folder) => !placed.has(folder))).toEqual([]);
    const leaks = universalFolders.flatMap((folder) =>
      (mayImport[folder] ?? [])
        .filter((name) => !universalFolders.includes(name))
        .map((name) => `${folder} -> ${name}`),
    );
    expect(leaks).toEqual([]);
  });
});
