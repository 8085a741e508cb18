/**
 * Adapters of low rank in the layout of Hugging Face's PEFT: `adapter_config.json` and
 * `adapter_model.safetensors`, whose tensors are named after the model's layers.
 */
import { z } from "zod";
import { ModelConfigError, WeightsMismatchError } from "../errors.js";
import { Tensor } from "../graph/index.js";
import { loraNames } from "../nn/linear.js";
import type { ParameterTree } from "../nn/parameter-scope.js";
import { float32, type TensorData } from "../tensor-data.js";

export const adapterFiles = {
  config: "adapter_config.json",
  weights: "adapter_model.safetensors",
} as const;

/** What PEFT puts before every name of the model. */
const prefix = "base_model.model.";

export type LoraConfig = {
  readonly rank: number;
  readonly alpha: number;
  /** Whether the addition is scaled by `alpha / sqrt(rank)` (Kalajdzievski 2023, arXiv 2312.03732). */
  readonly isRankStabilised: boolean;
};

const nothing = z.union([z.null(), z.literal(false), z.record(z.string(), z.never())]).optional();
const publishedConfig = z.object({
  peft_type: z.literal("LORA"),
  r: z.int().positive(),
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  bias: z.literal("none").default("none"),
  // Each of these would change what the matrices mean.
  use_dora: nothing,
  fan_in_fan_out: nothing,
  rank_pattern: nothing,
  alpha_pattern: nothing,
});

/** Reads `adapter_config.json`. Throws `ModelConfigError` for other kinds of adapters. */
export const parseAdapterConfig = (config: unknown): LoraConfig => {
  const parsed = publishedConfig.safeParse(config);
  if (!parsed.success) {
    throw new ModelConfigError(
      `parseAdapterConfig: ${adapterFiles.config} must describe a plain LoRA adapter: ${z.prettifyError(parsed.error)}`,
    );
  }
  const { r, lora_alpha: alpha, use_rslora: isRankStabilised } = parsed.data;
  return { rank: r, alpha, isRankStabilised };
};

/** Content of `adapter_config.json`. `layers` and `replaced`: published names of adapted layers, and of others that are replaced. */
export const formatAdapterConfig = (
  { rank, alpha, isRankStabilised }: LoraConfig,
  baseModel: string,
  layers: readonly string[],
  replaced: readonly string[],
): object => ({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  base_model_name_or_path: baseModel,
  r: rank,
  lora_alpha: alpha,
  lora_dropout: 0,
  use_rslora: isRankStabilised,
  use_dora: false,
  bias: "none",
  fan_in_fan_out: false,
  target_modules: layers,
  modules_to_save: replaced.length === 0 ? null : replaced,
  inference_mode: true,
});

export const adapterScale = ({ rank, alpha, isRankStabilised }: LoraConfig): number =>
  alpha / (isRankStabilised ? Math.sqrt(rank) : rank);

/** The name under which an adapter keeps a tensor of the model, and back. */
export const toAdapterName = (published: string): string => prefix + published;
export const fromAdapterName = (name: string): string => {
  if (name.startsWith(prefix)) return name.slice(prefix.length);
  throw new WeightsMismatchError(
    `fromAdapterName: tensors of an adapter must begin with "${prefix}", got "${name}"; save it with PEFT's save_pretrained`,
    [],
    [name],
    [],
  );
};

/** Linear layers of a tree by their full names: nodes of a weight [out, in] and at most a bias. */
export const listLinearLayers = (tree: ParameterTree | undefined): Map<string, Tensor> => {
  const found = new Map<string, Tensor>();
  const visit = (node: ParameterTree | undefined): void => {
    if (node === undefined || node instanceof Tensor) return;
    const { weight, ...others } = node as { readonly weight?: ParameterTree };
    const isLinear =
      weight instanceof Tensor &&
      weight.rank === 2 &&
      weight.source.kind === "parameter" &&
      Object.keys(others).every((name) => name === "bias");
    if (isLinear && weight.source.kind === "parameter") {
      found.set(weight.source.name.replace(/\.weight$/, ""), weight);
    }
    for (const child of Object.values(node)) visit(child);
  };
  visit(tree);
  return found;
};

/** Which part of an adapter a parameter is, and of which layer; undefined for all others. */
export const adapterPartOf = (
  name: string,
): { readonly layer: string; readonly part: keyof typeof loraNames } | undefined => {
  for (const part of ["down", "up"] as const) {
    const suffix = `.${loraNames[part]}`;
    if (name.endsWith(suffix)) return { layer: name.slice(0, -suffix.length), part };
  }
  return undefined;
};

/** `weight + scale · up down`: [out, in], [out, r], [r, in] → [out, in]. Throws `WeightsMismatchError`. */
export const mergeLora = (
  name: string,
  weight: TensorData<"float32">,
  down: TensorData<"float32">,
  up: TensorData<"float32">,
  scale: number,
): TensorData<"float32"> => {
  const [outWidth, inWidth] = weight.shape;
  const [rank] = down.shape;
  const fits =
    String(down.shape) === String([rank, inWidth]) && String(up.shape) === String([outWidth, rank]);
  if (!fits) {
    throw new WeightsMismatchError(
      `mergeLora: matrices of "${name}" must be [r, ${inWidth}] and [${outWidth}, r], got [${down.shape}] and [${up.shape}]; the adapter belongs to another model`,
      [],
      [],
      [name],
    );
  }
  const merged = Float32Array.from(weight.data);
  const row = new Float64Array(inWidth);
  for (let out = 0; out < outWidth; out += 1) {
    row.fill(0);
    for (let at = 0; at < rank; at += 1) {
      const factor = scale * up.data[out * rank + at];
      const start = at * inWidth;
      for (let index = 0; index < inWidth; index += 1)
        row[index] += factor * down.data[start + index];
    }
    for (let index = 0; index < inWidth; index += 1) merged[out * inWidth + index] += row[index];
  }
  return float32(weight.shape, merged);
};

/**
 * Values that take the place of a model's, by full name: weights with an adapter's additions in them,
 * and parameters that it replaces. `tensors`: the adapter's, by the model's full names.
 */
export const mergeAdapter = async (
  tensors: ReadonlyMap<string, TensorData<"float32">>,
  scale: number,
  read: (name: string) => Promise<TensorData<"float32">>,
): Promise<Map<string, TensorData<"float32">>> => {
  const values = new Map<string, TensorData<"float32">>();
  for (const [name, value] of tensors) {
    if (adapterPartOf(name) === undefined) values.set(name, value);
  }
  for (const [name, up] of tensors) {
    const own = adapterPartOf(name);
    const twin = own && tensors.get(`${own.layer}.${loraNames[own.part === "up" ? "down" : "up"]}`);
    if (own !== undefined && twin === undefined) {
      throw new WeightsMismatchError(
        `mergeAdapter: both matrices of a layer must be there, got only "${name}"; the adapter is incomplete`,
        [],
        [],
        [name],
      );
    }
    if (own?.part !== "up" || twin === undefined) continue;
    const weight = `${own.layer}.weight`;
    const base = values.get(weight) ?? (await read(weight));
    values.set(weight, mergeLora(own.layer, base, twin, up, scale));
  }
  return values;
};
