/**
 * A server under load: 32 clients with images, texts, streams, conversations, clients that leave and
 * malformed requests; and how much decoding together gains over one at a time.
 *
 *   npm run bench -- server-load
 *   SACCADE_BENCH_SECONDS=20 SACCADE_BENCH_MODEL=models/llava-mini-scenes npm run bench -- server-load
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import { writeNewModel } from "../src/node.js";
import { makeRequest, type Outcome, send } from "./load-client.js";
import { printReport } from "./report.js";

const seconds = Number(process.env.SACCADE_BENCH_SECONDS ?? 120);
const numClients = 32;
/** Requests of each of the two ways of decoding that are compared. */
const numCompared = 24;
/** Growth of memory from the first quarter of the load to its end that is still no leak. */
const mostGrowthMb = 64;

const scratch = mkdtempSync(join(tmpdir(), "saccade-load-"));
const cli = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

const startServer = async (folder: string, maxSequences: number) => {
  const child: ChildProcess = spawn(
    process.execPath,
    [
      cli,
      "serve",
      "--model",
      `load=${folder}`,
      "--port",
      "0",
      "--max-sequences",
      String(maxSequences),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const url = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout?.setEncoding("utf8").on("data", (part: string) => {
      text += part;
      if (text.includes("curl ")) resolve(text.split("\n")[0]);
    });
    child.on("close", (code) => reject(new Error(`saccade serve ended with code ${code}`)));
  });
  const stop = (): Promise<number | null> =>
    new Promise((resolve) => {
      child.on("close", resolve);
      child.kill("SIGTERM");
    });
  const residentMb = async (): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]) / 1e6;
  };
  return { url, stop, residentMb };
};

const pictures = await Promise.all(
  [320, 640, 1024].flatMap((width) =>
    [0, 120, 240].map(async (red) => {
      const background = { r: red, g: 90, b: 160 };
      const create = { width, height: Math.round(width * 0.75), channels: 3 as const, background };
      const file = await sharp({ create }).jpeg().toBuffer();
      return `data:image/jpeg;base64,${file.toString("base64")}`;
    }),
  ),
);
const folder =
  process.env.SACCADE_BENCH_MODEL ??
  (await writeNewModel(join(scratch, "model"), "tiny-llava-mini", 0)).path;
const source = { model: "load", pictures };

/** Tokens a second of streamed answers of equal length, asked by `numAsking` clients. */
const measureThroughput = async (url: string, numAsking: number): Promise<number> => {
  let next = 0;
  let tokens = 0;
  const client = async (): Promise<void> => {
    while (next < numCompared) {
      const seed = next++;
      const body = JSON.stringify({
        model: "load",
        messages: [{ role: "user", content: `Tell me about ${seed}.` }],
        max_tokens: 64,
        temperature: 1,
        seed,
      });
      const outcome = await send(url, { kind: "text", body, expected: [200], isStream: false });
      if (outcome.fault !== undefined) throw new Error(outcome.fault);
      tokens += outcome.tokens;
    }
  };
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: numAsking }, client));
  return (1000 * tokens) / (performance.now() - startedMs);
};

const outcomes: Outcome[] = [];
try {
  const single = await startServer(folder, 1);
  const batched = await startServer(folder, 8);
  const rounds: { readonly one: number; readonly together: number }[] = [];
  for (let round = 0; round < 3; round += 1) {
    const one = await measureThroughput(single.url, 8);
    const together = await measureThroughput(batched.url, 8);
    // The first round opens sessions.
    if (round > 0) rounds.push({ one, together });
  }
  await single.stop();
  const best = (values: readonly number[]): number => Math.max(...values);
  const one = best(rounds.map((round) => round.one));
  const together = best(rounds.map((round) => round.together));

  const { url, residentMb } = batched;
  const endMs = performance.now() + seconds * 1000;
  const memory: number[] = [];
  const watch = setInterval(() => {
    residentMb().then(
      (mb) => memory.push(mb),
      () => {},
    );
  }, 500);
  let next = 0;
  const client = async (): Promise<void> => {
    while (performance.now() < endMs) {
      const outcome = await send(url, makeRequest(source, next++));
      outcomes.push(outcome);
      // Whoever is told to come later does.
      if (outcome.status === 429) await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  await Promise.all(Array.from({ length: numClients }, client));
  clearInterval(watch);
  const code = await batched.stop();

  const quarter = memory.slice(Math.floor(memory.length / 4), Math.ceil(memory.length / 2));
  const last = memory.slice(-quarter.length);
  const faults = outcomes.filter(({ fault, status }) => fault !== undefined || status === "broken");
  for (const { kind, status, fault } of faults.slice(0, 10)) console.error(kind, status, fault);
  const answered = outcomes.filter(({ status }) => status === 200);
  const sorted = answered.map(({ ms }) => ms).sort((a, b) => a - b);
  const countOf = (status: Outcome["status"]): number =>
    outcomes.filter((outcome) => outcome.status === status).length;
  printReport({
    benchmark: "server-load",
    about:
      "an OpenAI-compatible server under mixed load, and decoding together against one at a time",
    setting: { clients: numClients, seconds, threads: availableParallelism(), model: folder },
    figures: [
      {
        name: "decoding 8 together against one at a time",
        value: together / one,
        unit: "x",
        target: { atLeast: 1.5 },
      },
      { name: "tokens, 8 together", value: together, unit: "1/s" },
      { name: "tokens, one at a time", value: one, unit: "1/s" },
      { name: "requests answered", value: answered.length, unit: "count" },
      { name: "requests that left", value: countOf("left"), unit: "count" },
      { name: "requests told to come later (429)", value: countOf(429), unit: "count" },
      {
        name: "failures that are not defined",
        value: faults.length,
        unit: "count",
        target: { below: 1 },
      },
      { name: "median answer", value: sorted[Math.floor(sorted.length / 2)] ?? 0, unit: "ms" },
      { name: "99th percentile", value: sorted[Math.floor(sorted.length * 0.99)] ?? 0, unit: "ms" },
      { name: "resident memory, highest", value: Math.max(...memory), unit: "MB" },
      {
        name: "growth of memory, second quarter to last",
        value: Math.max(...last) - Math.max(...quarter),
        unit: "MB",
        target: { below: mostGrowthMb },
      },
      { name: "exit code after SIGTERM", value: code ?? -1, unit: "count", target: { below: 1 } },
    ],
  });
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
