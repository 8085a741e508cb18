import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const lock = { packages: { "": {}, "node_modules/typescript": { version: "1.0.0" } } };

let clone = "";
const write = (path: string, text: string) => {
  mkdirSync(dirname(join(clone, path)), { recursive: true });
  writeFileSync(join(clone, path), text);
};

/** Runs a script of the small clone; `npm` there notes its arguments, and installs or builds. */
const run = (script: string, args: readonly string[] = [], node: readonly string[] = []) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...node, join(clone, "scripts", script), ...args],
    {
      encoding: "utf8",
      env: { ...process.env, PATH: `${join(clone, "bin")}${delimiter}${process.env.PATH}` },
    },
  );
  const calls = join(clone, "npm-calls");
  const npm = existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : [];
  rmSync(calls, { force: true });
  return { status, stdout, stderr, npm };
};

beforeEach(() => {
  clone = mkdtempSync(join(tmpdir(), "saccade-setup-"));
  const folder = clone;
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(root, "scripts"), join(clone, "scripts"), { recursive: true });
  write("package.json", '{ "type": "module" }');
  write("package-lock.json", JSON.stringify(lock));
  write("node_modules/.package-lock.json", JSON.stringify(lock));
  symlinkSync(join(root, "node_modules/typescript"), join(clone, "node_modules/typescript"));
  write(
    "tsconfig.json",
    '{ "compilerOptions": { "module": "NodeNext", "types": [], "lib": ["ES2022"] } }',
  );
  write(
    "tsconfig.build.json",
    '{ "extends": "./tsconfig.json", "compilerOptions": { "rootDir": "src" }, "include": ["src"] }',
  );
  write("src/first.ts", "export const first: number = 1;\n");
  write("web/index.html", "<title>page</title>\n");
  // Stands for the bundler: the page is its source.
  write(
    "node_modules/vite/bin/vite.js",
    'require("node:fs").cpSync("web", process.env.SACCADE_DIST + "/page", { recursive: true });\n',
  );
  write(
    "bin/npm",
    '#!/bin/sh\necho "$@" >> npm-calls\n' +
      '[ "$1" = run ] && exec node scripts/build.mjs\n' +
      "cp package-lock.json node_modules/.package-lock.json\n",
  );
  chmodSync(join(clone, "bin/npm"), 0o755);
});

describe("set-up", () => {
  it("builds what is not built, and is silent the second time", () => {
    expect(run("setup.mjs")).toMatchObject({ status: 0, npm: ["run build"] });
    expect(readdirSync(join(clone, "dist")).sort()).toEqual([".inputs", "first.js", "page"]);
    expect(run("setup.mjs")).toEqual({ status: 0, stdout: "", stderr: "", npm: [] });
  });

  it("builds again when a source changes or goes, and leaves nothing of the one that went", () => {
    write("src/second.ts", "export const second = 2;\n");
    run("setup.mjs");
    rmSync(join(clone, "src/second.ts"));
    expect(run("setup.mjs").npm).toEqual(["run build"]);
    expect(readdirSync(join(clone, "dist")).sort()).toEqual([".inputs", "first.js", "page"]);
  });

  it("shows a failed build whole, exits with 1 and keeps the build before it", () => {
    run("setup.mjs");
    write("src/first.ts", 'export const first: number = "one";\n');
    const failed = run("setup.mjs");
    expect(failed.status).toBe(1);
    expect(failed.stderr).toMatch(/src\/first\.ts\(1,14\): error TS2322/);
    expect(readFileSync(join(clone, "dist/first.js"), "utf8")).toContain("first = 1");
    expect(readdirSync(clone).filter((name) => name.startsWith("dist"))).toEqual(["dist"]);
  });

  it("installs when the packages are missing or not those of the lock file, else never", () => {
    const installed = join(clone, "node_modules/.package-lock.json");
    rmSync(installed);
    expect(run("setup.mjs").npm[0]).toMatch(/^install --no-save /);
    expect(readFileSync(installed, "utf8")).toBe(JSON.stringify(lock));
    const other = { packages: { "node_modules/typescript": { version: "0.9.0" } } };
    write("node_modules/.package-lock.json", JSON.stringify(other));
    expect(run("setup.mjs").npm).toEqual([expect.stringMatching(/^install --no-save /)]);
    expect(run("setup.mjs").npm).toEqual([]);
  });

  it("refuses an installation that is not what the lock file pins", () => {
    write("bin/npm", '#!/bin/sh\necho "$@" >> npm-calls\n');
    rmSync(join(clone, "node_modules/.package-lock.json"));
    const refused = run("setup.mjs");
    expect(refused).toMatchObject({ status: 1, npm: [expect.stringMatching(/^install /)] });
    expect(refused.stderr).toContain("did not install what package-lock.json pins");
  });

  it("does not miss an optional package that does not fit this system", () => {
    const optional = { version: "1.0.0", optional: true, os: ["none"] };
    const packages = { ...lock.packages, "node_modules/native": optional };
    write("package-lock.json", JSON.stringify({ packages }));
    expect(run("setup.mjs").npm).toEqual(["run build"]);
  });

  it("refuses an older Node before it does anything", () => {
    const old = 'Object.defineProperty(process,"versions",{value:{node:"20.18.3"}})';
    const refused = run("setup.mjs", [], ["--import", `data:text/javascript,${old}`]);
    expect(refused).toMatchObject({ status: 1, npm: [] });
    expect(refused.stderr).toMatch(/^saccade needs Node 20\.19 or newer, this is 20\.18\.3\./);
  });
});

describe("start", () => {
  it("is `saccade demo --serve` with the arguments given, and ends as it ends", () => {
    write(
      "src/cli/main.ts",
      "declare const process: { argv: string[]; exitCode: number };\n" +
        "declare const console: { log(text: string): void };\n" +
        "console.log(process.argv.slice(2).join());\nprocess.exitCode = 7;\n",
    );
    expect(run("start.mjs", ["--port", "0"])).toMatchObject({
      status: 7,
      stdout: "demo,--serve,--port,0\n",
      npm: ["run build"],
    });
  });

  it("starts nothing when the build fails", () => {
    write("src/cli/main.ts", "export const broken: number = 'one';\n");
    const failed = run("start.mjs");
    expect(failed).toMatchObject({ status: 1, stdout: "" });
    expect(failed.stderr).toContain("error TS2322");
  });
});
