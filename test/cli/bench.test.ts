import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium } from "../../scripts/chromium.mjs";
import { estimateCost } from "../../src/cost/cost-report.js";
import { presetModel } from "../../src/load/preset-model.js";
import { type BenchReport, measuredParts } from "../../src/measure/bench-report.js";
import { copyModel, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
afterAll(folder.remove);
const page = join(folder.path, "report.html");
const image = { width: 100, height: 80 };
let report: BenchReport;

beforeAll(async () => {
  const model = copyModel(join(folder.path, "model"));
  const systems = ["--preset", "tiny-llava", "--preset", "tiny-avg-llava"];
  const request = ["--image", "100x80", "--text-tokens", "9", "--new-tokens", "3"];
  const options = ["--granularity", "9", "--rounds", "2", "--json", "--output", page];
  const { code, stdout, stderr } = await runCli([
    "bench",
    model,
    ...systems,
    ...request,
    ...options,
  ]);
  expect(code, stderr).toBe(0);
  report = JSON.parse(stdout);
}, 120_000);

describe("saccade bench", () => {
  it("measures models and presets side by side", () => {
    expect(report.rounds).toBe(2);
    expect(report.request).toEqual({
      image,
      frames: null,
      textTokens: 9,
      newTokens: 3,
      granularity: 9,
    });
    expect(report.systems.map(({ system, weights }) => [system, weights])).toEqual([
      ["llava-mini", "stored"],
      ["llava", "random"],
      ["avg-llava", "random"],
    ]);
    expect(report.ratios.map(({ name }) => name)).toEqual(["tiny-llava", "tiny-avg-llava"]);
    // The router ran, and was made to choose.
    expect(report.systems[2].routed).toBe(9);
    expect(report.systems[2].parts.router.ms.min).toBeGreaterThan(0);
  });

  it("tells the whole time by part: nothing is left, nothing counted twice", () => {
    for (const { name, runs, typicalRun } of report.systems) {
      expect(runs).toHaveLength(2);
      expect(runs[typicalRun]).toBeDefined();
      for (const { firstTokenMs, parts, decodeMs } of runs) {
        expect(Object.keys(parts)).toEqual([...measuredParts]);
        const sum = Object.values(parts).reduce((all, ms) => all + ms, 0);
        expect(sum).toBeCloseTo(firstTokenMs, 6);
        for (const [part, ms] of Object.entries(parts)) {
          expect(ms, `${name}: ${part}`).toBeGreaterThanOrEqual(0);
        }
        expect(decodeMs).toBeGreaterThan(0);
      }
    }
  });

  it("sets predictions beside it that are those of the cost report", () => {
    const { parts, bytes, visionTokens } = report.systems[1];
    const media = [image];
    const cost = estimateCost(presetModel("tiny-llava"), { media, textTokens: 9, answerTokens: 3 });
    for (const part of ["vision", "projector", "prefill"] as const) {
      expect(parts[part].flops).toBe(cost.flops[part]);
    }
    expect(visionTokens).toBe(cost.visionTokens);
    expect(bytes.kvCache).toEqual({ predicted: cost.bytes.kvCache, allocated: cost.bytes.kvCache });
    if (process.platform === "linux") {
      expect(bytes.besidesWeights.measured).toBeGreaterThan(bytes.kvCache.allocated);
    }
  });

  it("gives ratios of times within a round", () => {
    const [first, second] = report.systems;
    const within = first.runs.map(
      (run, round) => run.firstTokenMs / second.runs[round].firstTokenMs,
    );
    const { firstToken } = report.ratios[0];
    expect(firstToken.min).toBeCloseTo(Math.min(...within), 9);
    expect(firstToken.max).toBeCloseTo(Math.max(...within), 9);
    expect(firstToken.median).toBeCloseTo((within[0] + within[1]) / 2, 9);
  });

  it("describes every key of the JSON in its help", async () => {
    const { stdout } = await runCli(["bench", "--help"]);
    const keysOf = (value: unknown): string[] =>
      value === null || typeof value !== "object"
        ? []
        : Object.entries(value).flatMap(([key, inner]) => [key, ...keysOf(inner)]);
    const keys = new Set(keysOf(report).filter((key) => !/^\d+$/.test(key)));
    for (const key of keys) expect(stdout, key).toMatch(new RegExp(`\\b${key}\\b`));
  });

  it.skipIf(findChromium() === undefined)(
    "writes a page that opens by itself and says what the JSON says",
    async () => {
      const browser = await chromium.launch({
        executablePath: findChromium() ?? "",
        args: ["--headless", "--no-sandbox", "--disable-gpu"],
      });
      try {
        const opened = await browser.newPage();
        const complaints: string[] = [];
        opened.on("console", (message) => complaints.push(message.text()));
        opened.on("pageerror", (error) => complaints.push(error.message));
        opened.on("request", (request) => {
          if (!/^(file|data):/.test(request.url())) complaints.push(request.url());
        });
        await opened.goto(pathToFileURL(page).href);
        const shown = await opened.evaluate(() => ({
          report: document.querySelector("#report")?.textContent ?? "",
          cells: [...document.querySelectorAll<HTMLElement>("[data-path]")].map((cell) => [
            cell.dataset.path ?? "",
            cell.textContent ?? "",
          ]),
          segments: document.querySelectorAll(".chart rect").length,
        }));
        expect(complaints).toEqual([]);
        expect(JSON.parse(shown.report)).toEqual(report);
        expect(shown.cells.length).toBeGreaterThan(60);
        expect(shown.segments).toBeGreaterThan(10);
        const scales: Record<string, number> = { k: 1e3, M: 1e6, G: 1e9, T: 1e12 };
        for (const [path, text] of shown.cells) {
          const value = path
            .split(".")
            .reduce<unknown>((part, key) => (part as Record<string, unknown>)[key], report);
          const [, number, unit = ""] = /^([\d.e+-]+)\s*(.*)$/.exec(text) ?? [];
          const scale = unit === "s" ? 1000 : /^[kMGT](B|FLOP)/.test(unit) ? scales[unit[0]] : 1;
          const off = Math.abs((Number(number) * scale) / Number(value) - 1);
          expect(value === 0 ? Number(number) : off, `${path}: ${text}`).toBeLessThan(0.006);
        }
      } finally {
        await browser.close();
      }
    },
    60_000,
  );

  it.each([
    [[], 2, /give a model or --preset/],
    [["--preset", "gpt"], 2, /the preset must be one of llava-1\.5-7b/],
    [["--preset", "tiny-llava", "--image", "0x5"], 2, /Give a size in pixels/],
    [["--preset", "tiny-llava", "--image", "90000x90000"], 1, /at most 178956970 pixels/],
    [["--preset", "tiny-llava", "--text-tokens", "5000"], 1, /do not fit into the context of 2048/],
    [["--preset", "tiny-avg-llava", "--granularity", "100"], 2, /the router chooses one of 9/],
    [["--preset", "tiny-llava", "--preset", "tiny-llava"], 2, /names must differ/],
  ])("refuses %j, and says what to do", async (args, expected, message) => {
    const output = join(folder.path, "never.html");
    const { code, stdout, stderr } = await runCli(["bench", ...args, "--output", output]);
    expect(code).toBe(expected);
    expect(stdout).toBe("");
    expect(stderr).toMatch(message);
    expect(existsSync(output)).toBe(false);
  });
});
