/** A folder of more than 2 GB of float32 weights: ready in under a second, mapped and not copied. */
import { spawnSync } from "node:child_process";
import { statSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { llamaNames, llamaParams } from "../src/language/llama.js";
import { parseLlamaConfig } from "../src/language/llama-config.js";
import { median } from "../src/measure/rounds.node.js";
import { listParameters, ParameterScope } from "../src/nn/parameter-scope.js";
import { elementCount, float32 } from "../src/tensor-data.js";
import { createRenameTable } from "../src/weights/rename.js";
import { writeSafetensors } from "../src/weights/safetensors-file.node.js";
import type { OpenedFolder } from "./open-folder.js";
import { createTemporaryFolder, randomFloats } from "./random-weights.js";
import { note, printReport } from "./report.js";

const rounds = 5;
const published = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  vocab_size: 32_000,
  hidden_size: 2048,
  intermediate_size: 5632,
  num_hidden_layers: 10,
  num_attention_heads: 16,
  max_position_embeddings: 1024,
};

note("open: writing a folder of 2.6 GB");
const folder = createTemporaryFolder();
writeFileSync(join(folder, "config.json"), JSON.stringify(published));
const names = createRenameTable(llamaNames);
const shapes = new Map<string, readonly number[]>();
for (const [name, { shape }] of listParameters(
  llamaParams(new ParameterScope(), parseLlamaConfig(published)),
)) {
  shapes.set(names.toPublished(name) ?? name, shape.map(Number));
}
const path = join(folder, "model.safetensors");
await writeSafetensors(
  path,
  [...shapes].map(([name, shape]) => ({ name, dtype: "float32", shape })),
  (name) => {
    const shape = shapes.get(name) ?? [];
    const count = elementCount(shape);
    const ones = shape.length === 1;
    return float32(shape, ones ? new Float32Array(count).fill(1) : randomFloats(count));
  },
);
const folderBytes = statSync(path).size;

const opened: OpenedFolder[] = [];
for (let round = 0; round <= rounds; round += 1) {
  const loader = new URL("../scripts/typescript.mjs", import.meta.url).href;
  const script = fileURLToPath(new URL("open-folder.ts", import.meta.url));
  const { status, stdout } = spawnSync(process.execPath, ["--import", loader, script, folder], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) throw new Error(`open-folder.ts ended with ${status}`);
  const result = JSON.parse(stdout) as OpenedFolder;
  note(
    `open round ${round}/${rounds}: ${result.openMs.toFixed(0)} ms, ${(result.residentBytes / 1e6).toFixed(0)} MB resident`,
  );
  if (round > 0) opened.push(result);
}
const of = (key: keyof OpenedFolder): number => median(opened.map((round) => round[key] ?? 0));

printReport({
  benchmark: "open",
  about: "a folder of float32 weights, from its path to a decoder that is ready to run",
  setting: {
    provider: "cpu",
    threads: availableParallelism(),
    rounds,
    processes: "a fresh one each round",
    folderBytes,
  },
  figures: [
    { name: "time to open", value: of("openMs") / 1000, unit: "s", target: { below: 1 } },
    {
      name: "resident memory of the process, of the folder's size",
      value: of("residentBytes") / folderBytes,
      unit: "x",
      target: { below: 0.1 },
    },
    {
      name: "growth by opening, of the folder's size",
      value: of("grownBytes") / folderBytes,
      unit: "x",
    },
    { name: "folder", value: folderBytes / 1e6, unit: "MB" },
    { name: "resident memory of the process", value: of("residentBytes") / 1e6, unit: "MB" },
    { name: "growth by opening", value: of("grownBytes") / 1e6, unit: "MB" },
    ...(opened[0]?.privateBytes === undefined
      ? []
      : [{ name: "private pages", value: of("privateBytes") / 1e6, unit: "MB" } as const]),
    { name: "first token, weights read for the first time", value: of("firstTokenMs"), unit: "ms" },
  ],
});
