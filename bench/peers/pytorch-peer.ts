/** PyTorch, kept ready in a process of its own, so that its runs can stand between ours. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Counted } from "../../src/measure/rounds.node.js";

export type Peer = {
  /** Runs `repeats` times; returns the shortest run as the peer itself measured it. */
  run(repeats?: number): Promise<Counted>;
  /** As the peer describes itself, such as `torch 1.13.0, openblas`. */
  readonly described: string;
  close(): void;
};

/** Prepares `pytorch.py name`; returns why not where PyTorch is not installed. */
export const openPytorch = async (
  name: "clip" | "prefill" | "decode" | "train",
  threads: number,
): Promise<Peer | { readonly missing: string }> => {
  const script = fileURLToPath(new URL("pytorch.py", import.meta.url));
  const python = process.env.PYTHON ?? "/usr/bin/python3";
  const child = spawn(python, [script, name, "--on-request", "--threads", String(threads)], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  let complaint = "";
  child.stderr.on("data", (chunk) => {
    complaint += chunk;
  });
  child.on("error", (error) => {
    complaint += error.message;
  });
  child.stdin.on("error", () => {}); // a dead peer is noticed by its output's end
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Record<string, unknown> | undefined> => {
    const { value, done } = await lines.next();
    return done ? undefined : (JSON.parse(value) as Record<string, unknown>);
  };
  const ready = await next();
  if (ready === undefined) {
    return { missing: `PyTorch (${complaint.trim().split("\n").at(-1) ?? "no output"})` };
  }
  return {
    described: `torch ${ready.torch}, ${ready.blas}`,
    run: async (repeats = 1) => {
      child.stdin.write(`${repeats}\n`);
      const answer = await next();
      if (answer === undefined) throw new Error(`pytorch.py ended: ${complaint}`);
      return {
        milliseconds: Number(answer.milliseconds),
        processorMs: Number(answer.processorMs),
      };
    },
    close: () => {
      child.stdin.end();
    },
  };
};
