import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyModel, fixture, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
const image = fixture("preprocess-clip", "image0_200x140_rgb.png");
let model = "";
beforeAll(() => {
  model = copyModel(join(folder.path, "model"));
});
afterAll(folder.remove);

const explain = (...args: string[]) =>
  runCli(["explain", model, image, "What is it?", "--max-tokens", "3", ...args]);
const heldIn = (path: string): unknown => {
  const page = readFileSync(path, "utf8");
  return JSON.parse(/id="explanation">(.*?)<\/script>/.exec(page)?.[1] ?? "");
};

describe("saccade explain", () => {
  it("writes one page that holds what --json prints, and leaves nothing beside it", async () => {
    const pages = join(folder.path, "pages");
    const page = join(pages, "page.html");
    const { code, stdout, stderr } = await explain(
      ...["--output", page, "--json", "--layers-per-block", "2"],
    );
    expect(stderr).toContain(`page: ${page}`);
    expect(code).toBe(0);
    const explanation = JSON.parse(stdout);
    expect(heldIn(page)).toEqual(explanation);
    expect(readdirSync(pages)).toEqual(["page.html"]);
    expect(readFileSync(page, "utf8")).not.toMatch(/(?:src|href)="https?:/);
    // Three layers in blocks of two; weights as they are stored.
    expect(explanation.dropping.blocks).toHaveLength(2);
    expect(explanation.cost.bytes.weights).toBeGreaterThan(1e6);
    expect(explanation.usage.completionTokens).toBe(3);
  }, 120_000);

  it.each([
    [["--output", "page.txt"], "name it .html"],
    [["--layers-per-block", "0"], "at least 1"],
    [["--granularity", "9"], "offers no choice of tokens"],
  ])(
    "refuses %j before it has written anything",
    async (args, message) => {
      const { code, stderr, stdout } = await explain(...args);
      expect(stderr).toContain(message);
      expect(code).toBe(2);
      expect(stdout).toBe("");
    },
    120_000,
  );

  it("keeps the page that was there when it fails", async () => {
    const broken = join(folder.path, "broken.png");
    writeFileSync(broken, "no image");
    const pages = join(folder.path, "kept");
    mkdirSync(pages);
    const page = join(pages, "page.html");
    writeFileSync(page, "old");
    const { code, stderr } = await runCli(["explain", model, broken, "What?", "--output", page]);
    expect(code).toBe(1);
    expect(stderr).toContain("error:");
    expect(readFileSync(page, "utf8")).toBe("old");
    expect(readdirSync(pages)).toEqual(["page.html"]);
  }, 120_000);
});
