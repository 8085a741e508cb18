/** AVG-LLaVA on the command line: what the router chose is told, and can be asked otherwise. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fixture, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
const image = fixture("preprocess-clip", "image0_200x140_rgb.png");
const model = join(folder.path, "model");
beforeAll(async () => {
  const { code } = await runCli(["init", model, "--preset", "tiny-avg-llava"]);
  expect(code).toBe(0);
});
afterAll(folder.remove);

const ask = (...args: string[]) =>
  runCli(["ask", model, "--image", image, "--max-tokens", "2", "What is it?", ...args]);

describe("saccade ask, of a model with granularities", () => {
  it("tells before the most that may be chosen, and after what was, within it", async () => {
    const { stderr } = await ask();
    const most = /at most (\d+) tokens: the router chooses among 9, 18, 36, 72, 144 a view/.exec(
      stderr,
    );
    const chosen = /(\d+) a view by the router \(probability 0\.\d\d\), (\d+) tokens/.exec(stderr);
    expect([9, 18, 36, 72, 144]).toContain(Number(chosen?.[1]));
    expect(Number(chosen?.[2])).toBeLessThanOrEqual(Number(most?.[1]));
    const plan = await ask("--dry-run");
    expect(plan.stdout).toMatch(/^prompt: at most \d+ tokens/);
  });

  it("gives choice, probabilities and tokens with --json", async () => {
    const { stdout } = await ask("--json");
    const { media, usage } = JSON.parse(stdout);
    const [{ routes, tokens, tokenOptions }] = media;
    expect(routes[0]).toMatchObject({ chosenBy: "router", tokens });
    expect(routes[0].probabilities).toHaveLength(5);
    expect(tokenOptions.all).toContainEqual({ granularity: routes[0].granularity, tokens });
    expect(usage.imageTokens).toBe(tokens);
  });

  it("takes --granularity, --detail and --max-soft-tokens instead, also from the environment", async () => {
    expect((await ask("--granularity", "36")).stderr).toContain(", 36 a view, ");
    expect((await ask("--detail", "high")).stderr).toContain(", 144 a view, ");
    const tight = await ask("--detail", "high", "--max-soft-tokens", "60");
    expect(tight.stderr).toMatch(/, (9|18) a view, [1-5]?\d tokens/);
    const set = await runCli(["ask", model, "--image", image, "--max-tokens", "1", "What?"], {
      environment: { SACCADE_DETAIL: "low" },
    });
    expect(set.stderr).toContain(", 9 a view, ");
  });

  it.each([
    [["--granularity", "10"], "must be one of 9, 18, 36, 72, 144, got 10"],
    [["--max-soft-tokens", "5"], "raise it to"],
    [["--detail", "some"], "Allowed choices are low, high, auto"],
  ])("refuses %j", async (args, message) => {
    const { code, stderr, stdout } = await ask(...args);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
    expect(stdout).toBe("");
  });
});

describe("saccade chat, of a model with granularities", () => {
  it("changes the choice between turns", async () => {
    const { stderr, stdout, code } = await runCli(
      ["chat", model, "--max-tokens", "1", "--image", image],
      { input: "/granularity 18\nWhat is it?\n/granularity 7\nAnd now?\n/detail low\nAnd now?\n" },
    );
    expect(stderr).toContain(", 18 a view, ");
    expect(stderr).toContain("must be one of 9, 18, 36, 72, 144, got 7");
    expect(stdout.split("\n").length).toBeGreaterThanOrEqual(2);
    expect(code).toBe(1);
  });
});

describe("saccade inspect, of a model with granularities", () => {
  it("shows what an image takes at each", async () => {
    const { stdout } = await runCli(["inspect", model, "--image", "192x192"]);
    for (const [granularity, tokens] of [
      [9, 51],
      [36, 192],
      [144, 744],
    ]) {
      expect(stdout).toMatch(new RegExp(` ${granularity} +(?:720 +)?${tokens} `));
    }
  });
});

describe("saccade eval, of a model with granularities", () => {
  const evaluate = (...args: string[]) =>
    runCli(["eval", model, "--scenes", "test", "--count", "3", ...args]);

  it("counts what the router chose, by family", async () => {
    const { stdout } = await evaluate("--json");
    const families = Object.values<{ count: number; granularities: Record<string, number> }>(
      JSON.parse(stdout).byFamily,
    );
    for (const { count, granularities } of families)
      expect(Object.values(granularities).reduce((sum, chosen) => sum + chosen, 0)).toBe(count);
    expect((await evaluate()).stdout).toContain("granularity chosen");
  });

  it("takes --granularity instead", async () => {
    const { stdout } = await evaluate("--json", "--granularity", "9");
    const families = Object.values<{ count: number; granularities: object }>(
      JSON.parse(stdout).byFamily,
    );
    for (const { count, granularities } of families) expect(granularities).toEqual({ 9: count });
  });
});
