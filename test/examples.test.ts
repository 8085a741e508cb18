import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findExamples, runExample } from "./support/run-example.js";

const timeoutMs = 120_000;
const examples = findExamples(fileURLToPath(new URL("../examples", import.meta.url)));

describe("running an example", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "saccade-examples-"));
    writeFileSync(join(folder, "fails.mjs"), 'console.log("before"); throw new Error("broken");\n');
    writeFileSync(join(folder, "rejects.ts"), 'Promise.reject(new Error("late"));\n');
    writeFileSync(join(folder, "part.ts"), 'export const part: string = "typed";\n');
    writeFileSync(
      join(folder, "runs.ts"),
      'import { part } from "./part.js";\nenum Word { One = "one" }\nconsole.log(part, Word.One);\n',
    );
    mkdirSync(join(folder, "empty"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("runs TypeScript with its imports", async () => {
    expect(await runExample(join(folder, "runs.ts"), timeoutMs)).toBe("typed one\n");
  });

  it("fails with everything a failing example wrote", async () => {
    const failure = runExample(join(folder, "fails.mjs"), timeoutMs);
    await expect(failure).rejects.toThrow(/before\n[\s\S]*broken/);
    await expect(runExample(join(folder, "rejects.ts"), timeoutMs)).rejects.toThrow("late");
  });

  it("tells an empty folder from none", () => {
    expect(findExamples(join(folder, "empty"))).toEqual([]);
    expect(findExamples(join(folder, "absent"))).toBeUndefined();
    expect(findExamples(folder)?.map((path) => basename(path))).toContain("fails.mjs");
  });
});

// `npm test` builds dist/ first; the examples import the package by its name, as a user does.
describe.runIf(examples !== undefined)("every example runs to its end", () => {
  it("in a folder that holds at least one", () => {
    expect(examples).not.toEqual([]);
  });

  it.each((examples ?? []).map((path) => [basename(path), path]))(
    "%s",
    { timeout: timeoutMs + 5_000 },
    async (_name, path) => {
      await runExample(path, timeoutMs);
    },
  );
});

it.runIf(examples === undefined)("there is no examples folder yet: nothing to run", () => {
  expect(examples).toBeUndefined();
});
