import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { copyModel, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
afterAll(folder.remove);

const costJson = async (...args: string[]) => {
  const { code, stdout, stderr } = await runCli(["cost", ...args, "--json"]);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
};

describe("saccade cost", () => {
  it("prints what a preset costs, in the convention that is asked for", async () => {
    const paper = ["--preset", "llava-mini-7b", "--image", "336x336", "--text-tokens", "43"];
    const report = await costJson(...paper, "--convention", "linear");
    expect(report).toMatchObject({
      system: "llava-mini",
      preset: "llava-mini-7b",
      convention: "linear",
      visionTokens: 1,
    });
    expect(Object.keys(report.flops)).toEqual([
      "vision",
      "projector",
      "compression",
      "fusion",
      "router",
      "prefill",
      "perToken",
      "total",
    ]);
    expect((report.flops.total / 1e12).toFixed(3)).toBe("1.961");
    expect(report.bytes).toMatchObject({ weights: expect.any(Number), kvCache: 45 * 1_048_576 });
    expect(report.bytes.activations).toBeGreaterThan(0);
    const text = await runCli(["cost", ...paper, "--convention", "linear"]);
    expect(text.stdout).toMatch(/fusion +1\.004 T +51\.2 %/);
    expect(text.stdout).toMatch(/all, to the first token +1\.961 T/);
  });

  it("counts every frame of a video and every token of an answer", async () => {
    const base = ["--preset", "llava-mini-llama-3.1-8b", "--text-tokens", "30"];
    const [one, ten] = [
      await costJson(...base, "--frames", "1"),
      await costJson(...base, "--frames", "10", "--answer-tokens", "5"),
    ];
    expect([one.visionTokens, ten.visionTokens]).toEqual([1, 10]);
    expect(ten.flops.fusion).toBe(10 * one.flops.fusion);
    const { vision, projector, compression, fusion, prefill, perToken, total } = ten.flops;
    expect(total).toBe(vision + projector + compression + fusion + prefill + 4 * perToken);
  });

  it("takes the router's choice as supposed, or leaves the router out", async () => {
    const base = ["--preset", "avg-llava-7b", "--image", "672x672", "--granularity", "36"];
    const [routed, asked] = [await costJson(...base), await costJson(...base, "--no-router")];
    expect([routed.visionTokens, asked.visionTokens]).toEqual([192, 192]);
    expect(routed.flops.router).toBeGreaterThan(1e12);
    expect(asked.flops.router).toBe(0);
  });

  it("reads a folder's own weights and settings", async () => {
    const model = copyModel(join(folder.path, "model"));
    const report = await costJson(model, "--image", "40x30", "--text-tokens", "5");
    const inspected = await runCli(["inspect", model, "--json"]);
    const { parameters, kvBytesPerToken } = JSON.parse(inspected.stdout);
    expect(report.preset).toBeNull();
    expect(report.bytes.weights).toBe(4 * parameters.total);
    expect(report.bytes.kvCache).toBe((5 + report.visionTokens + 1) * kvBytesPerToken);
    const { preset: _, ...same } = await costJson(model);
    expect(JSON.parse(inspected.stdout).image.report).toEqual(same);
  });

  it("compares models and draws charts", async () => {
    const svg = join(folder.path, "charts.svg");
    const names = "llava-1.5-7b,llava-mini-7b";
    const reports = await costJson("--compare", names, "--image", "336x336", "--svg", svg);
    expect(reports.map(({ preset }: { preset: string }) => preset)).toEqual(names.split(","));
    const drawing = readFileSync(svg, "utf8");
    expect(drawing.match(/<polyline/g)).toHaveLength(2 * 6);
    expect(drawing).not.toMatch(/NaN|Infinity|undefined/);
    for (const name of names.split(",")) expect(drawing).toContain(name);
  });

  it.each([
    [[], /give a model or --preset/],
    [["--preset", "gpt"], /Allowed choices are llava-1\.5-7b/],
    [["--preset", "llava-1.5-7b", "--frames", "20"], /do not fit into the context of 4096/],
    [["--preset", "llava-1.5-7b", "--convention", "exact"], /Allowed choices are true, linear/],
    [["--preset", "llava-1.5-7b", "--image", "wide"], /Give a size in pixels/],
    [["--preset", "avg-llava-7b", "--granularity", "100"], /the router chooses one of 36/],
  ])("refuses %j, and says what to do", async (args, message) => {
    const { code, stdout, stderr } = await runCli(["cost", ...args]);
    expect(code).toBeGreaterThan(0);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
  });
});
