import { spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { listEmbeddedModels } from "../../src/weights/embedded-models.node.js";
import { cliPath, copyModel, fixture, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
let model = "";
beforeAll(() => {
  model = copyModel(join(folder.path, "model"));
});
afterAll(folder.remove);

/** Starts `saccade serve` and waits for its address. */
const startServe = async (...args: readonly string[]) => {
  const child = spawn(
    process.execPath,
    [cliPath, "serve", "--port", "0", "--threads", "1", ...args],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let stdout = "";
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stderr: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stderr }));
  });
  const output = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      if (stdout.includes("curl ")) resolve(stdout);
    });
    child.on("close", () => reject(new Error(`serve ended: ${stderr}`)));
  });
  return { child, ended, output, url: output.split("\n")[0] };
};

const askStream = (url: string, maxTokens: number) =>
  fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: "model",
      messages: [{ role: "user", content: "Tell a story." }],
      stream: true,
      max_tokens: maxTokens,
      temperature: 2,
      seed: 3,
    }),
  });

const eventsOf = (text: string): string[] =>
  text
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice(6));

describe("saccade serve", () => {
  it("prints an address and a line that asks it, and on SIGTERM in mid-stream finishes the stream", async () => {
    const { child, ended, output, url } = await startServe("--model", model);
    expect(output).toContain(`curl ${url}/v1/chat/completions`);
    const response = await askStream(url, 100);
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    let text = (await reader?.read())?.value ?? "";
    child.kill("SIGTERM");
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done) break;
      text += next.value;
    }
    const events = eventsOf(text);
    expect(events.at(-1)).toBe("[DONE]");
    const finish = JSON.parse(events.at(-2) ?? "").choices[0].finish_reason;
    expect(["length", "stop"]).toContain(finish);
    expect((await ended).code).toBe(0);
    await expect(fetch(`${url}/health`)).rejects.toThrow();
  });

  it("ends a stream with an error when the grace is over, and still with code 0", async () => {
    const { child, ended, url } = await startServe("--model", model, "--shutdown-grace", "0");
    const response = await askStream(url, 400);
    const text = response.text();
    child.kill("SIGTERM");
    const events = eventsOf(await text);
    expect(events.at(-1)).toBe("[DONE]");
    expect(JSON.parse(events.at(-2) ?? "")).toMatchObject({ error: { code: "shutting_down" } });
    expect((await ended).code).toBe(0);
  });

  it("serves a model by the name it is given, to whoever has the key", async () => {
    const { child, ended, output, url } = await startServe(
      "--model",
      `eyes=${model}`,
      "--api-key",
      "secret",
    );
    expect(output).toContain("authorization: Bearer KEY");
    expect((await fetch(`${url}/v1/models`)).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    const models = (await (await fetch(`${url}/v1/models`, { headers })).json()) as {
      data: readonly { id: string }[];
    };
    expect(models.data.map(({ id }) => id)).toEqual(["eyes"]);
    child.kill("SIGINT");
    expect((await ended).code).toBe(0);
  });

  it("serves every embedded model where none is named, and lets pages fetch them", async () => {
    const embedded = (await listEmbeddedModels()).map(({ name }) => name);
    if (embedded.length === 0) {
      const { code, stderr } = await runCli(["serve", "--port", "0"]);
      expect([code, stderr]).toEqual([2, expect.stringContaining("serve needs a model")]);
      return;
    }
    const { child, ended, output, url } = await startServe();
    expect(output).toContain(`"model":"${embedded[0]}"`);
    const models = (await (await fetch(`${url}/v1/models`)).json()) as {
      data: readonly { id: string; browser: { files: string } | null }[];
    };
    expect(models.data.map(({ id }) => id)).toEqual(embedded);
    for (const { browser } of models.data) {
      expect((await fetch(`${url}${browser?.files}config.json`)).status).toBe(200);
    }
    expect((await fetch(url)).headers.get("content-type")).toContain("text/html");
    child.kill("SIGTERM");
    expect((await ended).code).toBe(0);
  });

  it("refuses what cannot be served, with the code of wrong usage or of failure", async () => {
    const twice = await runCli(["serve", "--model", model, "--model", model]);
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining("a name of its own")]);
    const absent = await runCli(["serve", "--model", join(folder.path, "absent"), "--offline"]);
    expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining("absent")]);
    const broken = await runCli(["serve", "--model", fixture("tokenizer"), "--port", "0"]);
    expect(broken.code).toBe(1);
    expect(broken.stderr).not.toMatch(/^\s+at /m);
  });
});
