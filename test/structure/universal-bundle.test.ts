import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sharedFiles, universalFolders } from "../../scripts/layers.cjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** Names that exist in Node but not in browsers. `globalThis.process` stays possible for a look. */
const nodeNames = [
  "Buffer",
  "process",
  "global",
  "require",
  "__dirname",
  "__filename",
  "setImmediate",
];

/** Every universal file below `folder`, as paths relative to it. */
const findUniversalFiles = (folder: string): string[] => [
  ...[...sharedFiles, "index.ts", "web.ts"]
    .map((name) => join("src", name))
    .filter((path) => existsSync(join(folder, path))),
  ...universalFolders
    .map((name) => join(folder, "src", name))
    .filter((path) => existsSync(path))
    .flatMap((path) =>
      readdirSync(path, { recursive: true, withFileTypes: true })
        .filter(({ name }) => name.endsWith(".ts") && !name.endsWith(".node.ts"))
        .map((entry) => relative(folder, join(entry.parentPath, entry.name))),
    ),
];

/** Bundles `files` for browsers, dependencies included; returns what esbuild cannot resolve. */
const findUnresolved = async (folder: string, files: readonly string[]): Promise<string[]> => {
  try {
    await esbuild.build({
      absWorkingDir: folder,
      entryPoints: [...files],
      outdir: "out",
      write: false,
      bundle: true,
      platform: "browser",
      format: "esm",
      target: "es2022",
      logLevel: "silent",
      loader: { ".wasm": "empty" },
    });
    return [];
  } catch (error) {
    const { errors } = error as esbuild.BuildFailure;
    if (!Array.isArray(errors)) throw error;
    return errors.map(({ location, text }) => `${text.split("\n")[0]} in ${location?.file}`);
  }
};

/** What of Node each file needs, by itself or through what it imports: `file: need` lines, sorted. */
const findNodeNeeds = async (folder: string, files: readonly string[]): Promise<string[]> => {
  const found: string[] = [];
  // One bundle of all is fast; only when it fails each file is tried alone, to name those at fault.
  const failed = (await findUnresolved(folder, files)).length > 0;
  for (const file of files) {
    const unresolved = failed ? await findUnresolved(folder, [file]) : [];
    found.push(...unresolved.map((need) => `${file}: ${need}`));
    const { code } = await esbuild.transform(readFileSync(join(folder, file), "utf8"), {
      loader: "ts",
      define: Object.fromEntries(nodeNames.map((name) => [name, `only_in_node_${name}`])),
    });
    const names = new Set(Array.from(code.matchAll(/\bonly_in_node_(\w+)/g), ([, name]) => name));
    found.push(...Array.from(names, (name) => `${file}: the global ${name} exists in Node only`));
  }
  return found.sort();
};

describe("the check itself", () => {
  const tree: Record<string, string> = {
    "src/errors.ts": "export class SaccadeError extends Error {}\n",
    "src/image/fine.ts":
      'import type { Stats } from "node:fs";\nexport type Size = Stats["size"];\nexport const process = (buffer: { Buffer: 1 }) => buffer.Buffer;\n',
    "src/image/reads.ts": 'import { readFileSync } from "node:fs";\nexport { readFileSync };\n',
    "src/image/bytes.ts": 'export const encode = (text: string) => Buffer.from(text, "base64");\n',
    "src/image/read.node.ts": 'export { readFileSync } from "node:fs";\n',
    "src/nn/leak.ts": 'export { open } from "../server/open.js";\n',
    "src/server/open.ts": 'import { open } from "fs";\nexport { open };\n',
  };
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "saccade-bundle-"));
    for (const [path, text] of Object.entries(tree)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("names each file that needs Node, also through an import, and no other", async () => {
    const files = findUniversalFiles(folder);
    expect(files).toHaveLength(5);
    expect(await findNodeNeeds(folder, files)).toEqual([
      "src/image/bytes.ts: the global Buffer exists in Node only",
      'src/image/reads.ts: Could not resolve "node:fs" in src/image/reads.ts',
      'src/nn/leak.ts: Could not resolve "fs" in src/server/open.ts',
    ]);
  });
});

describe("the universal part of the package", () => {
  it("bundles for browsers and needs nothing of Node", async () => {
    const files = findUniversalFiles(root);
    expect(files).toContain("src/errors.ts");
    expect(await findNodeNeeds(root, files)).toEqual([]);
  });
});
