/** Recorded LLaVA-UHD v4 encoders: the published design, its warm start, and the paper's ablations. */
import { ModelConfigError } from "../errors.js";
import { initParameter } from "../graph/index.js";
import { listParameters, ParameterScope } from "../nn/parameter-scope.js";
import { type CompressorVariant, compressorVariants } from "../reduce/early-compressor.js";
import { reuseLayer } from "../reduce/early-compressor-start.js";
import { uhdVisionNames, uhdVisionParams } from "../systems/llava-uhd.js";
import { parseUhdVisionConfig, type UhdVisionConfig } from "../systems/llava-uhd-config.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import type { PatchStrip } from "../vision/pack-patches.js";
import { createRenameTable } from "../weights/rename.js";
import { runUhd, type UhdRun, type UhdRunResult } from "./llava-uhd-run.js";
import {
  defaultTolerance,
  type Produced,
  type Recorded,
  rowsOf,
  type VerifyContext,
} from "./recorded.js";

/** Our name of an intermediate, by its recorded name. */
const tapNames: readonly (readonly [RegExp, string])[] = [
  [/^patch_embeds$/, "patches"],
  [/^position_ids$/, "positions"],
  [/^embeddings$/, "embeddings"],
  [/^layer\.(\d+)$/, "layers.$1.output"],
  [/^compressor\.window_attention_residual$/, "compressor.mixed"],
  [/^compressor\.unshuffled$/, "compressor.unshuffled"],
  [/^compressor\.average_residual$/, "compressor.average"],
  [/^compressor\.pre_norm$/, "compressor.norm"],
  [/^compressor\.output$/, "compressor.output"],
  [/^post_layernorm$/, "output"],
  [/^visual_tokens$/, "tokens"],
];

/** Recorded names of the ablations and what they mean here; `none` has two stages after the encoder. */
const ablations: Readonly<Record<string, CompressorVariant | "none" | "resampler">> = {
  post_vit: "none",
  avg_pool: "average-pool",
  pixel_unshuffle_mlp: "pixel-unshuffle-mlp",
  reused_mlp: "reused-mlp",
  cross_attn_topleft: "cross-attention-top-left",
  cross_attn_mean: "cross-attention-mean",
  win_attn_mlp: "window-attention-mlp",
  win_attn_reused_mlp: "window-attention-reused-mlp",
  win_attn_avg_pool: "window-attention-average-pool",
  view_attn_reused_mlp: "view-attention-reused-mlp",
  resampler: "resampler",
};

/** Heads of the recorded resampler, which no setting of the folder gives. */
const resamplerHeads = 3;

/** Gradients of key biases are 0 but for rounding, which stays below this. */
const noise = 1e-7;

const isNoise = ({ data }: TensorData): boolean =>
  data.every((value: number | bigint) => Math.abs(Number(value)) < noise);

class UhdVerification {
  readonly tensors = new Map<string, TensorData>();
  readonly inputs = new Set<string>();
  readonly further = new Map<string, TensorData>();
  readonly scales = new Map<string, number>();

  constructor(
    private readonly context: VerifyContext,
    private readonly config: UhdVisionConfig,
    private readonly weights: Recorded,
  ) {}

  private take(name: string): TensorData {
    const tensor = this.context.recorded.get(name);
    if (tensor === undefined) {
      throw new ModelConfigError(
        `verify: io.safetensors must hold ${name}, got none; record the folder again`,
      );
    }
    this.inputs.add(name);
    return tensor;
  }

  private strip(): PatchStrip {
    const grids = rowsOf(this.take("target_sizes_hw")).map(([rows, columns]) => ({
      rows,
      columns,
    }));
    return { pixelValues: this.take("pixel_values") as TensorData<"float32">, grids };
  }

  private run(options: Partial<UhdRun>): Promise<UhdRunResult> {
    const { config, weights } = this;
    return runUhd(this.context.engine, {
      config,
      weights,
      strip: this.strip(),
      mode: "16x",
      ...options,
    });
  }

  /** Recorded intermediates under `prefix`, as far as the run has them. */
  private add(
    prefix: string,
    { tensors, tokensPerView, gridsAfterTower, ...run }: UhdRunResult,
  ): void {
    for (const name of this.context.recorded.keys()) {
      if (!name.startsWith(prefix)) continue;
      const short = name.slice(prefix.length);
      const rule = tapNames.find(([pattern]) => pattern.test(short));
      const value = rule && tensors.get(short.replace(rule[0], rule[1]));
      if (value !== undefined) this.tensors.set(name, value);
    }
    this.tensors.set(`${prefix}tokens_per_view`, tokensPerView);
    this.tensors.set(`${prefix}grid_sizes_after_vit`, gridsAfterTower);
    if (run.loss) this.tensors.set(`${prefix}loss`, run.loss);
    if (run.pixelGradient) this.tensors.set(`${prefix}grad.pixel_values`, run.pixelGradient);
  }

  /** Gradients of a further file, of which `prefix` names the part that this run gives. */
  private async addGradients(file: string, prefix: string, { gradients }: UhdRunResult) {
    for (const [name, tensor] of (await this.context.readFile(file)) ?? []) {
      if (!name.startsWith(prefix)) continue;
      const label = `${file.replace(/\.safetensors$/, "")}/${name}`;
      this.further.set(label, tensor);
      if (isNoise(tensor)) this.scales.set(label, noise / defaultTolerance);
      const gradient = gradients.get(name.slice(prefix.length));
      if (gradient !== undefined) this.tensors.set(label, gradient);
    }
  }

  /** The compressor's parameters, from the layer before it where they follow from it, else as declared. */
  private async startingCompressor(config: UhdVisionConfig): Promise<Map<string, TensorData>> {
    const names = createRenameTable(uhdVisionNames(config));
    const params = uhdVisionParams(new ParameterScope(), config);
    const layer = `vision.layers.${config.compressor?.afterLayer}.`;
    const readLayer = async (name: string): Promise<TensorData<"float32">> =>
      this.weights.get(names.toPublished(layer + name) ?? "") as TensorData<"float32">;
    const isPlain =
      config.compressor && compressorVariants[config.compressor.variant].merging === "mlp";
    const values = new Map<string, TensorData>();
    for (const [name, { source, shape }] of listParameters(params.compressor)) {
      const own = name.replace(/^compressor\./, "");
      const sides = shape.map(Number);
      const value =
        isPlain && own.startsWith("merging.") && source.kind === "parameter"
          ? float32(sides, initParameter(source.initializer, name, elementCount(sides), 0))
          : await reuseLayer(own, sides, readLayer);
      values.set(names.toPublished(name) ?? name, value);
    }
    return values;
  }

  /** The folder's own model, 4x, and with the compressor as it starts. */
  async published(): Promise<void> {
    for (const name of this.context.recorded.keys()) {
      if (/^view\.\d+\.image$/.test(name)) this.inputs.add(name);
    }
    const lossWeights = this.take("grad.R");
    const run = await this.run({ lossWeights });
    this.add("", run);
    await this.addGradients("grads.safetensors", "", run);
    const fourfold = await this.run({ mode: "4x" });
    this.tensors.set("mode4x.visual_tokens", fourfold.tensors.get("tokens") as TensorData);

    const start = await this.startingCompressor(this.config);
    const startFile = "warm_start_compressor.safetensors";
    for (const [name, tensor] of (await this.context.readFile(startFile)) ?? []) {
      const label = `warm_start_compressor/${name}`;
      this.further.set(label, tensor);
      const value = start.get(name);
      if (value !== undefined) this.tensors.set(label, value);
    }
    const warm = await this.run({ lossWeights, weights: new Map([...this.weights, ...start]) });
    this.add("warm.", warm);
    await this.addGradients("warm_start_grads.safetensors", "", warm);
  }

  /** Every recorded ablation with its own weights over the shared ones. */
  async ablations(variants: Recorded): Promise<void> {
    for (const [name, kind] of Object.entries(ablations)) {
      const prefix = `${name}.`;
      if (!this.context.recorded.has(`${prefix}visual_tokens`)) continue;
      const own = [...variants].filter(([key]) => key.startsWith(prefix));
      const weights = new Map([
        ...this.weights,
        ...own.map(([key, tensor]) => [key.slice(prefix.length), tensor] as const),
      ]);
      const config = this.ablated(kind, weights);
      const run = await this.run({ config, weights, lossWeights: this.take(`${prefix}grad_R`) });
      this.add(prefix, run);
      await this.addGradients("grads.safetensors", prefix, run);
      if (this.context.recorded.has(`${prefix}start.compressor.output`)) {
        const start = await this.startingCompressor(config);
        const { tensors } = await this.run({ config, weights: new Map([...weights, ...start]) });
        const output = tensors.get("compressor.output");
        if (output) this.tensors.set(`${prefix}start.compressor.output`, output);
      }
    }
  }

  private ablated(
    kind: CompressorVariant | "none" | "resampler",
    weights: Recorded,
  ): UhdVisionConfig {
    const { compressor: _, ...rest } = this.config;
    if (kind === "none") return { ...rest, connector: { kind: "merger", numStages: 2 } };
    if (kind === "resampler") {
      const numQueries = weights.get("resampler.query")?.shape[0] ?? 0;
      return { ...rest, connector: { kind, numQueries, numHeads: resamplerHeads } };
    }
    const afterLayer = this.config.compressor?.afterLayer ?? 0;
    return { ...rest, compressor: { variant: kind, afterLayer } };
  }
}

/** Runs a recorded folder of the released training code's layout. */
export const produceLlavaUhd = async (context: VerifyContext): Promise<Produced> => {
  const weights = await context.readFile("model.safetensors");
  if (weights === undefined) {
    throw new ModelConfigError(
      "verify: a recorded encoder must hold model.safetensors, got none; record the folder again",
    );
  }
  const run = new UhdVerification(context, parseUhdVisionConfig(context.config), weights);
  const variants = await context.readFile("variants.safetensors");
  if (variants === undefined) await run.published();
  else await run.ablations(variants);
  const { tensors, inputs, further, scales } = run;
  return { tensors, inputs, further, scales };
};
