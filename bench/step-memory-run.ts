/**
 * A process of its own for one configuration: plans the memory of its training step as `saccade train
 * --dry-run` does, takes a few steps, and prints both as JSON.
 */
import { readFileSync } from "node:fs";
import { createNodeEngine } from "../src/graph/engine.node.js";
import { initParameter, inMemoryParameters } from "../src/graph/index.js";
import { listParameters } from "../src/nn/parameter-scope.js";
import type { LabelledBatch } from "../src/systems/labelled-batch.js";
import { parseSystem } from "../src/systems/system.js";
import { elementCount, float32, type TensorData } from "../src/tensor-data.js";
import { imagePlaceholderId } from "../src/text/image-placeholder.js";
import { parseRecipe } from "../src/train/recipe.js";
import { createObjective } from "../src/train/stage-objective.js";
import { planStage } from "../src/train/stage-plan.js";
import { accumulationGraph, trainStepGraph, updateGraph } from "../src/train/step-graph.js";
import { createVisionLanguageTrainable } from "../src/train/vision-language-trainable.js";
import { type MemoryCase, memoryCases } from "./step-memory-cases.js";

const steps = 6;
const side = 96;
const visionConfig = {
  hidden_size: 192,
  intermediate_size: 768,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  num_channels: 3,
  image_size: side,
  patch_size: 8,
};
const modelConfig = {
  architectures: ["LlavaLlamaForCausalLM"],
  model_type: "llava_llama",
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 768,
  num_hidden_layers: 6,
  num_attention_heads: 8,
  max_position_embeddings: 2048,
  mm_projector_type: "mlp2x_gelu",
  mm_vision_select_layer: -2,
  mm_vision_select_feature: "patch",
  mm_vision_tower: "tower",
  use_mm_proj: true,
};

/** A line of the process's own account, in bytes. */
const statusBytes = (name: string): number =>
  1024 *
  Number(
    new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))?.[1],
  );

const drawBatch = (batch: number, length: number): LabelledBatch => {
  const rows = Array.from({ length: batch }, (_, row) =>
    Array.from({ length }, (_, place) =>
      place === 2 ? imagePlaceholderId : (row * 131 + place * 17) % 1000,
    ),
  );
  const pixels = batch * 3 * side * side;
  return {
    ids: rows,
    labels: rows.map((row) => row.map((id, place) => (place < length / 2 ? -100 : id))),
    isPadding: rows.map((row) => row.map(() => false)),
    pixels: float32(
      [batch, 1, 3, side, side],
      Float32Array.from({ length: pixels }, (_, index) => Math.sin(index)),
    ),
  };
};

const run = async ({ batch, textLength, trains, accumulation, recompute }: MemoryCase) => {
  const { config, params } = parseSystem(modelConfig, visionConfig);
  if (config.system === "llava-uhd") throw new Error("step-memory: a LLaVA is needed");
  const declared = listParameters(params);
  const values = new Map<string, TensorData<"float32">>();
  for (const [name, { source, shape }] of declared) {
    if (source.kind !== "parameter") continue;
    const sides = shape.map(Number);
    values.set(
      name,
      float32(sides, initParameter(source.initializer, name, elementCount(sides), 1)),
    );
  }
  const isUsed = (name: string): boolean => !/^vision\.(postNorm|layers\.3)\./.test(name);
  const trained = [...values.keys()].filter((name) => isUsed(name) && trains.test(name));
  const fed = new Set(trained);
  const options = {
    groups: [{ name: "all", parameters: trained }],
    maxGradientNorm: 1,
    gradientCheckpointing: recompute,
  };

  const objective = createObjective(config, {
    isFed: (name) => fed.has(name),
    trainsEmbeddings: true,
  });
  const { loss, numPlaces } = objective.open({ batch, textLength, hasImages: true });
  const graph =
    accumulation > 1 ? accumulationGraph(loss, options).graph : trainStepGraph(loss, options);
  const shapes = new Map(trained.map((name) => [name, declared.get(name)?.shape ?? []]));
  const [stage] = parseRecipe(
    `{ name: memory, model: { from: none }, stages: [{ name: one, train: ["**"], groups: [{ name: all, parameters: ["**"], learningRate: 1e-4 }],
       data: { train: [{ path: none, format: llava }], maxLength: 512 }, batchSize: ${batch}, accumulation: ${accumulation}, steps: 1, schedule: { kind: constant } }] }`,
    "memory.yaml",
  ).stages;
  const frozenBytes = [...values]
    .filter(([name]) => graph.parameters.has(name))
    .reduce((sum, [, { data }]) => sum + data.byteLength, 0);
  const plan = planStage(
    stage,
    {
      groups: [
        {
          name: "all",
          parameters: trained.map((name) => ({
            name,
            shape: (shapes.get(name) ?? []).map(Number),
          })),
        },
      ],
      // Half of a row has labels.
      steps: [{ graph, tokens: numPlaces, bindings: { J: (batch * textLength) / 2 } }],
      ...(accumulation > 1 && { update: updateGraph(options, shapes, fed) }),
      frozenBytes,
    },
    1e11,
  );

  const engine = createNodeEngine();
  globalThis.gc?.();
  const beforeBytes = statusBytes("VmRSS");
  const trainable = await createVisionLanguageTrainable(engine, config, {
    ...options,
    trainsEmbeddings: true,
    state: new Map(trained.map((name) => [name, values.get(name) as TensorData<"float32">])),
    frozen: inMemoryParameters(values),
  });
  const drawn = drawBatch(batch, textLength);
  for (let step = 0; step < steps; step += 1) {
    for (let part = 1; part < accumulation; part += 1) await trainable.accumulate?.(drawn);
    await trainable.step(drawn, { all: 1e-4 });
  }
  const measuredBytes = statusBytes("VmHWM") - beforeBytes;
  await trainable.close();
  await engine.close();
  return { measuredBytes, ...plan.memory, parameters: plan.parameters };
};

const chosen = memoryCases[process.argv[2] ?? ""];
if (chosen === undefined) throw new Error(`step-memory: one of ${Object.keys(memoryCases)}`);
process.stdout.write(`${JSON.stringify(await run(chosen))}\n`);
