import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyModel, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
let model = "";
beforeAll(() => {
  model = copyModel(join(folder.path, "model"));
});
afterAll(folder.remove);

const config = (settings: object): string => {
  const path = join(folder.path, "settings.json");
  writeFileSync(path, JSON.stringify(settings));
  return path;
};
const dryRun = ["--dry-run", "--json"];

describe("the command line", () => {
  it("prints help and version with exit code 0", async () => {
    const commands = ["ask", "chat", "inspect", "verify", "init", "demo"];
    const help = await runCli(["--help"]);
    expect(help.code).toBe(0);
    for (const name of commands) {
      expect(help.stdout).toContain(`  ${name} `);
      const own = await runCli([name, "--help"]);
      expect({ code: own.code, stderr: own.stderr }).toEqual({ code: 0, stderr: "" });
      expect(own.stdout).toContain(`Usage: saccade ${name}`);
    }
    expect((await runCli(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+/);
  });

  it("answers wrong usage with exit code 2, on standard error only", async () => {
    for (const args of [
      [],
      ["ask"],
      ["nonsense"],
      ["ask", model, "x", "--nonsense"],
      ["ask", model, "x", "--provider", "tpu"],
      ["ask", model, "x", "--max-tokens", "0"],
      ["ask", model, "x", "--temperature", "warm"],
      ["ask", model, "x", "--temperature", "-1"],
      ["ask", model, "x", "--top-p", "1.5"],
      ["ask", model, "x", "--frame-rule", "uniform"],
      ["inspect", model, "--image", "640"],
      ["init", join(folder.path, "new"), "--preset", "huge"],
    ]) {
      const { code, stdout, stderr } = await runCli(args);
      expect({ code, stdout }, args.join(" ")).toEqual({ code: 2, stdout: "" });
      expect(stderr).not.toBe("");
    }
  });

  it("fails with exit code 1 where a provider or a model is not there", async () => {
    const absent = await runCli(["ask", join(folder.path, "absent"), "x"]);
    expect(absent.code).toBe(1);
    expect(absent.stderr).toContain("error: openModelFolder");
    const offline = await runCli(["ask", "org/name", "x", "--offline", "--cache-dir", folder.path]);
    expect(offline.code).toBe(1);
    expect(offline.stderr).toContain("offline");
  });

  it("takes flags from environment variables and from a JSON file; the command line wins", async () => {
    const length = async (args: string[], environment = {}) => {
      const { code, stdout, stderr } = await runCli(["ask", model, "x", ...args], { environment });
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout).contextLength;
    };
    const file = ["--config", config({ "context-length": 300, json: true, "dry-run": true })];
    const environment = { SACCADE_CONTEXT_LENGTH: "400" };
    expect(await length(file)).toBe(300);
    expect(await length(dryRun, environment)).toBe(400);
    expect(await length(file, environment)).toBe(400);
    expect(await length([...file, "--context-length", "450"], environment)).toBe(450);
  });

  it("reads switches in environment variables as on or off", async () => {
    const run = (value: string) =>
      runCli(["ask", model, "x", "--dry-run"], { environment: { SACCADE_JSON: value } });
    expect((await run("1")).stdout).toMatch(/^\{/);
    expect((await run("0")).stdout).toMatch(/^prompt: /);
    expect(await run("maybe")).toMatchObject({ code: 2 });
  });

  it("refuses an unknown key of a settings file and lists the known ones", async () => {
    const unknown = await runCli(["ask", model, "x", "--config", config({ "max-token": 5 })]);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('"max-token"');
    expect(unknown.stderr).toContain("max-tokens, temperature");
    const wrong = await runCli(["ask", model, "x", "--config", config({ provider: "tpu" })]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain("Allowed choices are cpu");
    const absent = await runCli(["ask", model, "x", "--config", "/absent.json"]);
    expect(absent.code).toBe(2);
  });

  it("colours only where it was asked to, never into a pipe", async () => {
    const colour = "\u001b[";
    const plain = await runCli(["inspect", model]);
    expect(plain.stdout).not.toContain(colour);
    expect((await runCli(["inspect", model, "--color", "on"])).stdout).toContain(colour);
    const refused = await runCli(["inspect", model], { environment: { NO_COLOR: "1" } });
    expect(refused.stdout).toBe(plain.stdout);
    const failed = await runCli(["inspect", "/absent"]);
    expect(failed.stderr).not.toContain(colour);
  });
});
