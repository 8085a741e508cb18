import { createDecoder } from "../generate/decoder.js";
import { alignedHeadWidth, createGraph, input, type Tensor } from "../graph/index.js";
import {
  embedTokens,
  type LlamaParams,
  languageHead,
  llama,
  llamaParams,
  llamaRopeTables,
} from "../language/llama.js";
import type { LlamaConfig } from "../language/llama-config.js";
import { decoderNames, parseDecoderConfig } from "../language/qwen.js";
import { ropeInverseFrequencies } from "../language/rope-frequencies.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import { bool, float32, int64, type TensorData } from "../tensor-data.js";
import { numbersOf, type Produced, type Recorded, rowsOf, type VerifyContext } from "./recorded.js";

/** Rotary settings of the published full-size models whose frequencies a folder may record. */
const publishedFrequencies: Readonly<Record<string, () => Float64Array>> = {
  "rope.inv_freq_published_llama31_8b": () =>
    ropeInverseFrequencies(128, 500_000, {
      type: "llama3",
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalContextLength: 8192,
    }),
  "rope.inv_freq_published_vicuna_7b": () => ropeInverseFrequencies(128, 10_000),
};

/** The decoder over whole sequences, without a cache. */
const fullGraph = (
  params: LlamaParams,
  config: LlamaConfig,
  numPositions: number,
  from: "ids" | "embeddings",
) => {
  const taps = Taps.create();
  const embeddings =
    from === "ids"
      ? embedTokens(params, input("ids", "int64", ["B", "T"]))
      : input("embeddings", "float32", ["B", "T", config.width]);
  const keyMask = input("keyMask", "bool", ["B", "T"]);
  const { hidden } = llama(
    params,
    embeddings,
    {
      kind: "full",
      positions: input("positions", "int64", ["B", "T"]),
      tables: llamaRopeTables(config, numPositions),
      bias: keyMaskBias(keyMask),
      tokenMask: keyMask,
    },
    config,
    taps,
  );
  const outputs: Record<string, Tensor> = {
    "hidden_states.0": embeddings,
    logits: languageHead(params, hidden),
  };
  for (let layer = 0; layer < config.numLayers; layer += 1) {
    const tap = (name: string): Tensor => taps.tensors.get(`layers.${layer}.${name}`) as Tensor;
    outputs[`hidden_states.${layer + 1}`] = layer + 1 < config.numLayers ? tap("output") : hidden;
    outputs[`layer${layer}.norm`] = tap("norm");
    outputs[`layer${layer}.attn`] = tap("attention");
    outputs[`layer${layer}.output`] = tap("output");
  }
  if (from === "embeddings") delete outputs["hidden_states.0"];
  return createGraph(`verify.llama.${from}`, outputs);
};

/**
 * Mean cross-entropy of the next token over all places with a label (-100 is none).
 * logits [B, T, W], labels [B, T].
 */
export const nextTokenLoss = (
  logits: TensorData,
  labels: readonly (readonly number[])[],
): number => {
  const [, length, vocabulary] = logits.shape;
  let sum = 0;
  let count = 0;
  labels.forEach((row, sample) => {
    for (let place = 0; place + 1 < row.length; place += 1) {
      const label = row[place + 1];
      if (label === -100) continue;
      const start = (sample * length + place) * vocabulary;
      const scores = Array.from(logits.data.subarray(start, start + vocabulary), Number);
      const top = Math.max(...scores);
      const total = scores.reduce((acc, score) => acc + Math.exp(score - top), 0);
      sum += Math.log(total) + top - scores[label];
      count += 1;
    }
  });
  return sum / count;
};

const maskRows = (mask: TensorData): boolean[] => numbersOf(mask).map((value) => value === 1);

/** Cosines or sines [T, E], each half repeating the other. */
const angleTable = (
  positions: readonly number[],
  frequencies: Float64Array,
  of: (angle: number) => number,
): TensorData =>
  float32(
    [positions.length, 2 * frequencies.length],
    positions.flatMap((position) => {
      const half = Array.from(frequencies, (frequency) => of(position * frequency));
      return [...half, ...half];
    }),
  );

/** Runs a recorded folder of `LlamaForCausalLM`, or of Qwen2, Qwen3 or Qwen3.5. */
export const produceLlama = async (context: VerifyContext): Promise<Produced> => {
  const { recorded, engine, locate } = context;
  const config = parseDecoderConfig(context.config, "llama");
  const params = llamaParams(new ParameterScope(), config);
  const parameters = locate(
    params,
    decoderNames.filter(([own]) => own !== "head" || params.head !== undefined),
  );
  const tensors = new Map<string, TensorData>();
  const masks = new Map<string, readonly boolean[]>();
  const inputs = new Set<string>();
  const take = (name: string): TensorData | undefined => {
    if (recorded.has(name)) inputs.add(name);
    return recorded.get(name);
  };
  const frequencies = ropeInverseFrequencies(
    config.rotaryWidth ?? config.headWidth,
    config.ropeTheta,
    config.ropeScaling,
  );

  for (const side of ["right", "left"]) {
    const ids = take(`${side}.input_ids`);
    const mask = take(`${side}.attention_mask`);
    if (ids === undefined || mask === undefined) continue;
    const [batch, length] = ids.shape;
    const places = Array.from({ length: batch * length }, (_, index) => index % length);
    const positions = take(`${side}.position_ids`) ?? int64([batch, length], places);
    const graph = fullGraph(params, config, Math.max(length, ...numbersOf(positions)) + 1, "ids");
    const session = await engine.open(graph, parameters);
    const rows = maskRows(mask);
    const results = await session.run({ ids, positions, keyMask: bool([batch, length], rows) });
    await session.close();
    for (const [name, tensor] of Object.entries(results)) {
      tensors.set(`${side}.${name}`, tensor);
      masks.set(`${side}.${name}`, rows);
    }
    const labels = take(`${side}.labels`);
    if (labels !== undefined) {
      tensors.set(`${side}.loss`, float32([], [nextTokenLoss(results.logits, rowsOf(labels))]));
    }
  }

  const embeddings = take("positions.inputs_embeds");
  const positionIds = take("positions.position_ids");
  if (embeddings !== undefined && positionIds !== undefined) {
    const places = numbersOf(positionIds);
    const session = await engine.open(
      fullGraph(params, config, Math.max(...places) + 1, "embeddings"),
      parameters,
    );
    const keyMask = bool(
      positionIds.shape,
      places.map(() => true),
    );
    const results = await session.run({ embeddings, positions: positionIds, keyMask });
    await session.close();
    for (const [name, tensor] of Object.entries(results)) tensors.set(`positions.${name}`, tensor);
    tensors.set("positions.cos", angleTable(places, frequencies, Math.cos));
    tensors.set("positions.sin", angleTable(places, frequencies, Math.sin));
  }

  await produceDecode(context, config, params, parameters, take, tensors);
  tensors.set("rope.inv_freq", float32([frequencies.length], frequencies));
  for (const [name, frequenciesOf] of Object.entries(publishedFrequencies)) {
    const values = frequenciesOf();
    tensors.set(name, float32([values.length], values));
  }
  return { tensors, inputs, masks };
};

/** Prefill, then forced tokens one at a time, through the decoder that generation uses. */
const produceDecode = async (
  { engine, recorded }: { engine: VerifyContext["engine"]; recorded: Recorded },
  config: LlamaConfig,
  params: LlamaParams,
  parameters: ReturnType<VerifyContext["locate"]>,
  take: (name: string) => TensorData | undefined,
  tensors: Map<string, TensorData>,
): Promise<void> => {
  const prefix = take("decode.prefix_ids");
  const forced = take("decode.forced_ids");
  if (prefix === undefined || forced === undefined) return;
  const [prefixIds, forcedIds] = [numbersOf(prefix), numbersOf(forced)];
  const capacity = prefixIds.length + forcedIds.length;
  const decoder = await createDecoder(
    engine,
    (graph) => engine.open(graph, parameters),
    params,
    config,
    { contextLength: capacity },
  );
  const cache = await decoder.createCache(1, capacity);
  const rows = [await decoder.prefill(cache, 0, await decoder.embed(prefixIds))];
  for (const name of recorded.keys()) {
    const [, part, layer] = /^decode\.([kv])_cache\.layer(\d+)$/.exec(name) ?? [];
    const memory = layer === undefined ? undefined : cache.layers[Number(layer)];
    if (memory === undefined) continue;
    const { data } = await engine.read(part === "k" ? memory.key : memory.value);
    const { numKeyValueHeads, headWidth } = config;
    const held = alignedHeadWidth(headWidth);
    const kept: number[] = [];
    for (let head = 0; head < numKeyValueHeads; head += 1) {
      for (let place = 0; place < prefixIds.length; place += 1) {
        const start = (head * capacity + place) * held;
        kept.push(...Array.from(data.subarray(start, start + headWidth), Number));
      }
    }
    tensors.set(name, float32([1, numKeyValueHeads, prefixIds.length, headWidth], kept));
  }
  for (const id of forcedIds) rows.push(...(await decoder.step(cache, [id])));
  tensors.set(
    "decode.logits",
    float32(
      [rows.length, config.vocabularySize],
      rows.flatMap((row) => Array.from(row)),
    ),
  );
  await decoder.releaseCache(cache);
};
