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
  it("writes one page that holds what --json prints, answers as ask does, and leaves nothing beside", async () => {
    const pages = join(folder.path, "pages");
    const page = join(pages, "page.html");
    const { code, stdout, stderr } = await explain("--output", page, "--json");
    expect(stderr).toContain(`page: ${page}`);
    expect(code).toBe(0);
    const explanation = JSON.parse(stdout);
    expect(heldIn(page)).toEqual(explanation);
    expect(readdirSync(pages)).toEqual(["page.html"]);
    expect(readFileSync(page, "utf8")).not.toMatch(/(?:src|href)="https?:/);

    const asked = await runCli(
      ["ask", model, "--image", image, "What is it?", "--max-tokens", "3", "--json"],
      {},
    );
    const answer = JSON.parse(asked.stdout);
    expect(explanation.answer.ids).toEqual(answer.ids);
    expect(explanation.usage).toEqual(answer.usage);
    expect(explanation.dropping.plain.greedyIds).toEqual(answer.ids);
    expect(explanation.heatMaps.compressor.lookers).toHaveLength(1);
    const priced = await runCli([
      ...["cost", model, "--image", "200x140", "--json", "--answer-tokens", "3"],
      ...["--text-tokens", String(answer.usage.textTokens)],
    ]);
    const { flops, bytes } = JSON.parse(priced.stdout);
    const rounded = (value: number): number =>
      Number.isInteger(value) ? value : Number(value.toPrecision(6));
    expect(explanation.cost.flops.total).toBe(rounded(flops.total));
    expect(explanation.cost.bytes.weights).toBe(bytes.weights);
  });

  it("prints the answer, and with --json alone writes no page", async () => {
    const page = join(folder.path, "plain.html");
    const plain = await explain("--output", page, "--layers-per-block", "2");
    expect(plain.code).toBe(0);
    const { answer, dropping } = heldIn(page) as {
      answer: { text: string };
      dropping: { blocks: unknown[] };
    };
    expect(plain.stdout).toBe(`${answer.text}\n`);
    // Three layers in blocks of two.
    expect(dropping.blocks).toHaveLength(2);
  });

  it.each([
    [["--output", "page.txt"], "name it .html"],
    [["--layers-per-block", "0"], "at least 1"],
    [["--temperature", "-1"], "temperature"],
    [["--granularity", "9"], "offers no choice of tokens"],
  ])("refuses %j before it has written anything", async (args, message) => {
    const { code, stderr, stdout } = await explain(...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(stdout).toBe("");
  });

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
  });
});
