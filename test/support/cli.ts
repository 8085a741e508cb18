import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The built command, as it is published. */
export const cliPath = join(root, "dist/cli/main.js");

export const fixture = (...names: string[]): string => join(root, "test/fixtures", ...names);

export type CliResult = {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

export type CliOptions = {
  /** Written to standard input, which is then closed; through a shell's pipe with `piped`. */
  readonly input?: string | Uint8Array;
  readonly environment?: Readonly<Record<string, string>>;
  /** Sends one SIGINT as soon as standard output holds something, or holds this. */
  readonly interrupt?: boolean | string;
};

/** Settings of the person who runs the tests must not reach the command. */
const cleanEnvironment = (): Record<string, string | undefined> => {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(SACCADE_|HF_)/.test(name) && !["NO_COLOR", "FORCE_COLOR"].includes(name),
  );
  return Object.fromEntries(kept);
};

/** Runs `saccade` with `args` to its end. */
export const runCli = (
  args: readonly string[],
  { input, environment = {}, interrupt = false }: CliOptions = {},
): Promise<CliResult> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cliPath, ...args], {
      env: { ...cleanEnvironment(), ...environment },
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    let interrupted = false;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      const isTime = interrupt !== false && stdout.includes(interrupt === true ? "" : interrupt);
      if (isTime && !interrupted) interrupted = child.kill("SIGINT");
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
    child.stdin?.end(input);
  });

/** Runs a line of the shell with `saccade` as a function and standard input empty unless piped. */
export const runShell = (line: string): Promise<CliResult> =>
  new Promise((resolve, reject) => {
    const script = `saccade() { "$NODE" "$CLI" "$@"; }\n${line}`;
    const child = spawn("sh", ["-c", script], {
      env: { ...cleanEnvironment(), NODE: process.execPath, CLI: cliPath },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });

const makeWritable = (folder: string): void => {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) makeWritable(path);
    else chmodSync(path, 0o644);
  }
};

/** An empty folder that `remove` takes away. */
export const temporaryFolder = (): { readonly path: string; readonly remove: () => void } => {
  const path = mkdtempSync(join(tmpdir(), "saccade-cli-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
};

/** Copies the recorded LLaVA-Mini, with the small tokenizer: a model that answers. */
export const copyModel = (path: string): string => {
  cpSync(fixture("llava-mini-image-c1"), path, { recursive: true });
  makeWritable(path);
  cpSync(fixture("tokenizer"), path, { recursive: true });
  return path;
};
