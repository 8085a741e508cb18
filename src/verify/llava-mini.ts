import { PromptError } from "../errors.js";
import { createDecoder } from "../generate/decoder.js";
import { createGraph, input, type ParameterSource, reshape, type Tensor } from "../graph/index.js";
import { embedTokens, languageHead, llama, llamaRopeTables } from "../language/llama.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import { sinCosTable } from "../reduce/position-tables.js";
import type { MediaInput, PixelViews } from "../systems/encoder.js";
import {
  type LlavaMiniParams,
  llavaMiniFuse,
  llavaMiniNames,
  llavaMiniParams,
  llavaMiniVisual,
  planFusion,
} from "../systems/llava-mini.js";
import {
  compressorConfig,
  fusedPatches,
  type LlavaMiniConfig,
  parseLlavaMiniConfig,
} from "../systems/llava-mini-config.js";
import { createLlavaMiniEncoder } from "../systems/llava-mini-encoder.js";
import { planSplice, type SplicePlan, spliceEmbeddings } from "../systems/splice.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { decodeGreedily } from "./greedy.js";
import { tapNameOf } from "./llava-mini-taps.js";
import { produceMiniTraining, recordsTraining } from "./llava-mini-training.js";
import { numbersOf, type Produced, rowsOf, type VerifyContext } from "./recorded.js";
import { joinFrames, meanOf, rowOf, splitFrames, stack } from "./recorded-frames.js";

/** Runs recorded LLaVA-Mini folders: images at either resolution, videos, mixed batches, text. */
export const produceLlavaMini = async (context: VerifyContext): Promise<Produced> => {
  if (recordsTraining(context.recorded)) return produceMiniTraining(context);
  const config = parseLlavaMiniConfig(context.config, context.towerConfig);
  const params = llavaMiniParams(new ParameterScope(), config);
  const parameters = context.locate(params, llavaMiniNames(config));
  const run = new MiniVerification(context, config, params, parameters);
  await run.forward();
  await run.mixedBatch();
  await run.generations();
  const settings = compressorConfig(config);
  run.tensors.set(
    "compressor.pos_embed_initial",
    float32(
      [settings.gridSide ** 2, settings.width],
      sinCosTable(settings.gridSide, settings.width),
    ),
  );
  return { tensors: run.tensors, inputs: run.inputs, masks: run.masks };
};

type Fused = { readonly compressed: TensorData; readonly text: TensorData };

class MiniVerification {
  readonly tensors = new Map<string, TensorData>();
  readonly inputs = new Set<string>();
  readonly masks = new Map<string, readonly boolean[]>();

  constructor(
    private readonly context: VerifyContext,
    private readonly config: LlavaMiniConfig,
    private readonly params: LlavaMiniParams,
    private readonly parameters: ParameterSource,
  ) {}

  private take(name: string): TensorData | undefined {
    const tensor = this.context.recorded.get(name);
    if (tensor !== undefined) this.inputs.add(name);
    return tensor;
  }

  /** The batch of the folder, with every recorded intermediate. */
  async forward(): Promise<void> {
    const pixels = this.take("pixel_values");
    const idsTensor = this.take("input_ids");
    const attention = this.take("attention_mask");
    if (pixels === undefined || idsTensor === undefined || attention === undefined) return;
    const ids = rowsOf(idsTensor);
    const isPadding = rowsOf(attention).map((row) => row.map((value) => value === 0));
    const isVideo = pixels.shape.length === 6;
    const frames = isVideo ? splitFrames(pixels) : [pixels];
    const plan = planFusion(ids, this.config);
    this.tensors.set("prefusion.key_mask", plan.keyMask);
    this.tensors.set("prefusion.position_ids", plan.positions);
    const fused: Fused[] = [];
    for (const [frame, framePixels] of frames.entries()) {
      fused.push(await this.fuse(framePixels, ids, isVideo ? `frame.${frame}.` : ""));
    }
    const text = meanOf(fused.map((frame) => frame.text));
    const compressed = joinFrames(fused.map((frame) => frame.compressed));
    if (isVideo) {
      this.tensors.set("fused.text_mean", text);
      this.tensors.set("fused.compressed_concat", compressed);
    }
    const perSample = compressed.shape[1];
    const samples = ids.map((row, sample) => ({
      ids: row,
      isPadding: isPadding[sample],
      visualRows: row.includes(imagePlaceholderId)
        ? [Array.from({ length: perSample }, (_, index) => sample * perSample + index)]
        : [],
    }));
    const splice = planSplice(samples, ids[0].length, ids.length * perSample);
    await this.decode(text, compressed, splice, "");
  }

  /** A video and an image in one batch (`mixed.*`). */
  async mixedBatch(): Promise<void> {
    const idsTensor = this.take("mixed.input_ids");
    const attention = this.take("mixed.attention_mask");
    const video = this.take("mixed.video");
    const image = this.take("mixed.image");
    if (!idsTensor || !attention || !video || !image) return;
    const ids = rowsOf(idsTensor);
    const isPadding = rowsOf(attention).map((row) => row.map((value) => value === 0));
    const frames = splitFrames({ ...video, shape: [1, ...video.shape] } as TensorData);
    const videoFused: Fused[] = [];
    for (const frame of frames) videoFused.push(await this.fuse(frame, [ids[0]]));
    const still = { ...image, shape: [1, ...image.shape] } as TensorData;
    const imageFused = await this.fuse(still, [ids[1]]);
    const text = stack([meanOf(videoFused.map(({ text }) => text)), imageFused.text]);
    const visual = joinFrames([
      ...videoFused.map(({ compressed }) => compressed),
      imageFused.compressed,
    ]);
    const perFrame = imageFused.compressed.shape[1];
    const videoRows = frames.length * perFrame;
    const rows = (start: number, length: number): number[] =>
      Array.from({ length }, (_, index) => start + index);
    const splice = planSplice(
      [
        { ids: ids[0], isPadding: isPadding[0], visualRows: [rows(0, videoRows)] },
        { ids: ids[1], isPadding: isPadding[1], visualRows: [rows(videoRows, perFrame)] },
      ],
      ids[0].length,
      videoRows + perFrame,
    );
    await this.decode(text, visual, splice, "mixed.");
  }

  /** Greedy tokens of every sample alone, through the encoder and decoder that answers come from. */
  async generations(): Promise<void> {
    const { recorded, engine } = this.context;
    const names = [...recorded.keys()].filter((name) => /(^|\.)generate\.(\d+\.)?ids$/.test(name));
    const textOnly = this.take("textonly.input_ids");
    if (names.length === 0 && textOnly === undefined) return;
    const longest = Math.max(...names.map((name) => recorded.get(name)?.shape[0] ?? 0), 0);
    const promptLength = Math.max(
      ...["input_ids", "textonly.input_ids"].map((name) => recorded.get(name)?.shape[1] ?? 0),
    );
    const pixels = recorded.get("pixel_values");
    const numFrames = pixels?.shape.length === 6 ? pixels.shape[1] : 1;
    const contextLength = promptLength + numFrames * this.config.compressorSide ** 2 + longest;
    const open = (graph: Parameters<typeof engine.open>[0]) => engine.open(graph, this.parameters);
    const encoder = createLlavaMiniEncoder(this.params, this.config, {
      open,
      featureCacheBytes: 0,
      maxPromptTokens: contextLength,
    });
    const { language } = this.config;
    const decoder = await createDecoder(engine, open, this.params.language, language, {
      contextLength,
    });
    for (const name of names) {
      const count = recorded.get(name)?.shape[0] ?? 0;
      const sample = /(?:^|\.)generate\.(\d+)\.ids$/.exec(name)?.[1];
      const prompt =
        sample === undefined
          ? { ids: textOnly ? rowsOf(textOnly)[0] : [], media: [] }
          : this.samplePrompt(Number(sample));
      const { ids, logits } = await decodeGreedily(encoder, decoder, prompt, count);
      this.tensors.set(name, int64([count], ids));
      this.tensors.set(
        name.replace(/ids$/, "logits"),
        float32(
          [count, language.vocabularySize],
          logits.flatMap((row) => Array.from(row)),
        ),
      );
    }
    if (textOnly !== undefined) await this.textOnlyLogits(textOnly);
  }

  /** Prompt and media of sample `index` without its padding. */
  private samplePrompt(index: number): { ids: number[]; media: MediaInput[] } {
    const idsTensor = this.context.recorded.get("input_ids");
    const attention = this.context.recorded.get("attention_mask");
    const pixels = this.context.recorded.get("pixel_values");
    if (idsTensor === undefined || attention === undefined || pixels === undefined) {
      throw new PromptError(
        `verify: generate.${index} needs input_ids, attention_mask, pixel_values`,
      );
    }
    const mask = rowsOf(attention)[index];
    const ids = rowsOf(idsTensor)[index].filter((_, place) => mask[place] === 1);
    const own = rowOf(pixels, index);
    const [side] = own.shape.slice(-1);
    const image = { width: side, height: side };
    const asViews = (frame: TensorData, key: string): PixelViews => ({
      pixels: frame as TensorData<"float32">,
      plan: { image, views: [], grid: { columns: 0, rows: 0 } },
      key,
    });
    if (pixels.shape.length === 5) {
      return { ids, media: [{ kind: "image", views: asViews(own, `${index}`) }] };
    }
    const numFrames = own.shape[0];
    async function* frames(): AsyncGenerator<PixelViews> {
      for (let frame = 0; frame < numFrames; frame += 1)
        yield asViews(rowOf(own, frame), `${index}.${frame}`);
    }
    return { ids, media: [{ kind: "video", numFrames, frames }] };
  }

  private async textOnlyLogits(idsTensor: TensorData): Promise<void> {
    const ids = rowsOf(idsTensor);
    const { language } = this.config;
    const session = await this.context.engine.open(
      createGraph("verify.embed", {
        text: embedTokens(this.params.language, input("ids", "int64", ["B", "T"])),
      }),
      this.parameters,
    );
    const { text } = await session.run({ ids: idsTensor });
    await session.close();
    const none = float32([ids.length, 0, language.width], []);
    const samples = ids.map((row) => ({ ids: row, visualRows: [] }));
    await this.decode(text, none, planSplice(samples, ids[0].length, 0), "textonly.");
  }

  /** Vision, compression and pre-fusion of one image or frame per sample. */
  private async fuse(
    pixels: TensorData,
    ids: readonly number[][],
    prefix?: string,
  ): Promise<Fused> {
    const { config, params } = this;
    const [, views, ...sides] = pixels.shape;
    const taps = Taps.create();
    const visual = llavaMiniVisual(
      params,
      input("pixels", "float32", ["B", views, ...sides]),
      config,
      taps,
    );
    const plan = planFusion(ids, config);
    const length = plan.keyMask.shape[1];
    const fused = llavaMiniFuse(
      params,
      {
        visual,
        ids: input("ids", "int64", ["B", ids[0].length]),
        keyMask: input("keyMask", "bool", ["B", length]),
        positions: input("positions", "int64", ["B", length]),
        tables: llamaRopeTables(config.language, fusedPatches(config) + ids[0].length + length),
      },
      config,
      taps,
    );
    const outputs: Record<string, Tensor> = { compressed: fused.compressed, text: fused.text };
    const wanted = new Map<string, string>();
    for (const name of prefix === undefined ? [] : this.context.recorded.keys()) {
      const tapName = name.startsWith(prefix ?? "") && tapNameOf(name.slice(prefix?.length));
      const tensor = tapName && taps.tensors.get(tapName);
      if (tensor) {
        outputs[`tap.${name}`] = tensor;
        wanted.set(`tap.${name}`, name);
      }
    }
    if (config.visionLayer !== -1 && prefix === "")
      this.addLastHidden(outputs, wanted, views, sides);
    const session = await this.context.engine.open(
      createGraph("verify.fuse", outputs),
      this.parameters,
    );
    const known = ids.map((row) => row.map((id) => Math.max(id, 0)));
    const results = await session.run({
      pixels,
      ids: int64([ids.length, ids[0].length], known.flat()),
      ...plan,
    });
    await session.close();
    for (const [output, name] of wanted) this.tensors.set(name, results[output]);
    return { compressed: results.compressed, text: results.text };
  }

  /** Hidden states after the selected one are recorded, though the model does not compute them. */
  private addLastHidden(
    outputs: Record<string, Tensor>,
    wanted: Map<string, string>,
    views: number,
    sides: readonly number[],
  ): void {
    const missing = [...this.context.recorded.keys()].filter(
      (name) => /^vision\.hidden_states\.\d+$/.test(name) && !wanted.has(`tap.${name}`),
    );
    if (missing.length === 0) return;
    const taps = Taps.create();
    const pixels = input("pixels", "float32", ["B", views, ...sides]);
    llavaMiniVisual(this.params, pixels, { ...this.config, visionLayer: -1 }, taps);
    for (const name of missing) {
      const tensor = taps.tensors.get(tapNameOf(name) ?? "");
      if (tensor === undefined) continue;
      outputs[`tap.${name}`] = tensor;
      wanted.set(`tap.${name}`, name);
    }
  }

  /** Splices and runs the language model over whole sequences. text [B, L, D], visual [B, M, D]. */
  private async decode(
    text: TensorData,
    visual: TensorData,
    splice: SplicePlan,
    prefix: string,
  ): Promise<void> {
    const { config, params } = this;
    const { language } = config;
    const [batch, length] = splice.index.shape;
    const width = language.width;
    const taps = Taps.create();
    const embeddings = spliceEmbeddings(
      reshape(input("text", "float32", ["B", "L", width]), [-1, width]),
      reshape(input("visual", "float32", ["C", "M", width]), [-1, width]),
      input("index", "int64", ["B", "T"]),
    );
    const { hidden } = llama(
      params.language,
      embeddings,
      {
        kind: "full",
        positions: input("positions", "int64", ["B", "T"]),
        tables: llamaRopeTables(language, length),
        bias: keyMaskBias(input("keyMask", "bool", ["B", "T"])),
      },
      language,
      taps,
    );
    const outputs: Record<string, Tensor> = {
      inputs_embeds: embeddings,
      final_norm: hidden,
      logits: languageHead(params.language, hidden),
    };
    for (let layer = 0; layer < language.numLayers; layer += 1) {
      outputs[`layer.${layer}`] = taps.tensors.get(`layers.${layer}.output`) as Tensor;
    }
    const session = await this.context.engine.open(
      createGraph("verify.llm", outputs),
      this.parameters,
    );
    const places = Array.from({ length }, (_, place) => place);
    const results = await session.run({
      text,
      visual,
      index: splice.index,
      keyMask: splice.mask,
      positions: int64([batch, length], Array.from({ length: batch }, () => places).flat()),
    });
    await session.close();
    const valid = numbersOf(splice.mask).map((value) => value === 1);
    for (const [name, tensor] of Object.entries(results)) {
      const full = name === "logits" ? `${prefix}logits` : `${prefix}llm.${name}`;
      this.tensors.set(full, tensor);
      if (name !== "inputs_embeds") this.masks.set(full, valid);
    }
    this.tensors.set(`${prefix}llm.attention_mask`, splice.mask);
    this.tensors.set(`${prefix}llm.position_ids`, int64([1, length], places));
  }
}
