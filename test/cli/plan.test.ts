import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { decodeImage } from "../../src/image/decode.node.js";
import { fixture, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const photo = join(fixture("preprocess-uhd"), "image0_640x480.png");

describe("saccade plan", () => {
  it("prints a row for every system, and one JSON object with sizes and tokens of views", async () => {
    const [{ code, stdout }, { stdout: json }] = await Promise.all([
      runCli(["plan", "1084x820"]),
      runCli(["plan", "1084x820", "--json"]),
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/LLaVA-UHD v4, 16x +441 +7056 +whole 504x392 \+ 3x2 of 392x504 +7x63/);
    const { image, systems } = JSON.parse(json);
    expect(image).toEqual({ width: 1084, height: 820 });
    expect(systems["llava-uhd-v4"].tokens).toBe(441);
    expect(systems["llava-uhd-v4"].grid).toEqual({ columns: 3, rows: 2 });
    expect(systems["llava-uhd-v4"].views.length).toBe(7);
    expect(systems["llava-uhd-v4"].views[1]).toMatchObject({ width: 392, height: 504, tokens: 63 });
    expect(systems["llava-mini"]).toMatchObject({ tokens: 1, views: [{ tokens: 1 }] });
  });

  it("draws an image file: every view of every system, as SVG and as PNG", async () => {
    const svg = join(folder.path, "plan.svg");
    const out = join(folder.path, "plan.png");
    const { code, stdout } = await runCli(["plan", photo, "--svg", svg, "--out", out, "--json"]);
    expect(code).toBe(0);
    const { systems } = JSON.parse(stdout) as {
      systems: Record<string, { tokens: number; views: { tokens: number }[] }>;
    };
    const text = readFileSync(svg, "utf8");
    const views = Object.values(systems).flatMap((system) => system.views);
    expect(text.match(/<use href="#picture"/g)?.length).toBe(views.length);
    expect(text).toContain("data:image/jpeg;base64,");
    for (const { tokens } of Object.values(systems)) expect(text).toContain(`>${tokens} token`);
    const [, width, height] = /<svg [^>]*width="(\d+)" height="(\d+)"/.exec(text) ?? [];
    const drawn = await decodeImage(out);
    expect([drawn.width, drawn.height]).toEqual([Number(width), Number(height)]);
    // Something is drawn: the paper is white, and not all of it is left.
    expect(drawn.data.some((level) => level < 40)).toBe(true);
  });

  it("says which systems refuse a size, and why", async () => {
    const { code, stdout } = await runCli(["plan", "1x1000"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/LLaVA-UHD v4, 16x +- .*cannot take this size/);
    expect(stdout).toContain("at most 200 times the short one, got 1x1000");
  });

  it.each([
    ["a file that is not there", 1, ["plan", "no-such-file.png"]],
    ["no slices", 2, ["plan", "10x10", "--max-slices", "0"]],
    ["a drawing that is no PNG", 2, ["plan", "10x10", "--out", "plan.jpg"]],
  ])("is refused for %s", async (_, expected, args) => {
    const { code, stdout, stderr } = await runCli(args);
    expect(code).toBe(expected);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^error: /);
  });
});
