import { ModelConfigError } from "../errors.js";
import { createDecoder } from "../generate/decoder.js";
import { createGraph, input, type ParameterSource } from "../graph/index.js";
import { clipConfig } from "../image/clip-config.js";
import { planViews } from "../image/image-mode.js";
import { llamaRopeTables } from "../language/llama.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import type { PixelViews } from "../systems/encoder.js";
import { type LlavaParams, llavaNames, llavaParams, llavaVisualTokens } from "../systems/llava.js";
import { type LlavaConfig, parseLlavaConfig, tokensPerView } from "../systems/llava-config.js";
import { createLlavaEncoder, planImageTokens } from "../systems/llava-encoder.js";
import { llavaForward } from "../systems/llava-forward.js";
import { newlineIndex } from "../systems/llava-next.js";
import { planSplice, type SplicePlan } from "../systems/splice.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { decodeGreedily } from "./greedy.js";
import { numbersOf, type Produced, rowsOf, type VerifyContext } from "./recorded.js";

/** One recorded sample: its ids without padding, and the images behind its placeholders. */
type Sample = { readonly ids: readonly number[]; readonly images: readonly PixelViews[] };

/** Runs recorded LLaVA-1.5 and LLaVA-NeXT folders, of either layout. */
export const produceLlava = async (context: VerifyContext): Promise<Produced> => {
  const config = parseLlavaConfig(context.config, context.towerConfig);
  const params = llavaParams(new ParameterScope(), config);
  const parameters = context.locate(
    params,
    llavaNames(config).filter(
      ([own]) => own !== "imageNewline" || params.imageNewline !== undefined,
    ),
  );
  const run = new LlavaVerification(context, config, params, parameters);
  const samples = run.readSamples();
  await run.images(samples);
  await run.forward(samples);
  await run.generations(samples);
  return { tensors: run.tensors, inputs: run.inputs, masks: run.masks };
};

class LlavaVerification {
  readonly tensors = new Map<string, TensorData>();
  readonly inputs = new Set<string>();
  readonly masks = new Map<string, readonly boolean[]>();

  constructor(
    private readonly context: VerifyContext,
    private readonly config: LlavaConfig,
    private readonly params: LlavaParams,
    private readonly parameters: ParameterSource,
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

  /** Recorded prompts, with their images (`pixel_values.i`, `image_sizes`) in order. */
  readSamples(): Sample[] {
    const ids = rowsOf(this.take("input_ids"));
    const mask = rowsOf(this.take("attention_mask"));
    const sizes = rowsOf(this.take("image_sizes"));
    const { imageMode, vision } = this.config;
    const views = sizes.map(([width, height], index): PixelViews => {
      const plan = planViews({ width, height }, clipConfig(vision.imageSizePx), imageMode);
      const pixels = this.take(`pixel_values.${index}`) as TensorData<"float32">;
      return { pixels, plan, key: String(index) };
    });
    let used = 0;
    return ids.map((row, sample) => {
      const kept = row.filter((_, place) => mask[sample][place] === 1);
      const count = kept.filter((id) => id === imagePlaceholderId).length;
      used += count;
      return { ids: kept, images: views.slice(used - count, used) };
    });
  }

  /** Features and projected tokens of every image. */
  async images(samples: readonly Sample[]): Promise<void> {
    const side = this.config.vision.imageSizePx;
    const pixels = input("pixels", "float32", ["V", 3, side, side]);
    const taps = Taps.create();
    const tokens = llavaVisualTokens(this.params, pixels, this.config, taps);
    const features = taps.tensors.get("features");
    const session = await this.context.engine.open(
      createGraph("verify.images", { tokens, ...(features && { features }) }),
      this.parameters,
    );
    for (const { pixels: values, key } of samples.flatMap(({ images }) => images)) {
      const results = await session.run({ pixels: values });
      this.tensors.set(`projector.output.${key}`, results.tokens);
      this.tensors.set(`vision.features.${key}`, results.features);
    }
    await session.close();
  }

  /** All samples as one padded batch, by the forward pass that training uses. */
  async forward(samples: readonly Sample[]): Promise<void> {
    const { language } = this.config;
    const { ids, splice } = this.planBatch(samples);
    const [batch, length] = splice.index.shape;
    const side = this.config.vision.imageSizePx;
    const { scores, embeddings } = llavaForward(
      this.params,
      {
        pixels: input("pixels", "float32", ["V", 3, side, side]),
        ids: input("ids", "int64", ["B", "L"]),
        index: input("index", "int64", ["B", "T"]),
        positions: input("positions", "int64", ["B", "T"]),
        tokenMask: input("tokenMask", "bool", ["B", "T"]),
        tables: llamaRopeTables(language, length),
      },
      this.config,
    );
    const session = await this.context.engine.open(
      createGraph("verify.forward", { logits: scores, "llm.inputs_embeds": embeddings }),
      this.parameters,
    );
    const places = Array.from({ length: batch * length }, (_, index) => index % length);
    const results = await session.run({
      pixels: joinViews(samples.flatMap(({ images }) => images)),
      ids,
      index: splice.index,
      positions: int64([batch, length], places),
      tokenMask: splice.mask,
    });
    await session.close();
    for (const [name, tensor] of Object.entries(results)) this.tensors.set(name, tensor);
    this.tensors.set("llm.attention_mask", splice.mask);
    this.masks.set(
      "logits",
      numbersOf(splice.mask).map((value) => value === 1),
    );
  }

  private planBatch(samples: readonly Sample[]): { ids: TensorData<"int64">; splice: SplicePlan } {
    const stride = Math.max(...samples.map(({ ids }) => ids.length));
    const perView = tokensPerView(this.config);
    const numRows = samples
      .flatMap(({ images }) => images)
      .reduce((rows, { pixels }) => rows + pixels.shape[0] * perView, 0);
    let first = 0;
    const planned = samples.map(({ ids, images }) => ({
      ids,
      visualRows: images.map(({ plan, pixels }) => {
        const start = first;
        first += pixels.shape[0] * perView;
        return planImageTokens(plan, this.config).map((row) =>
          row === newlineIndex ? numRows : start + row,
        );
      }),
    }));
    const learned = this.params.imageNewline === undefined ? 0 : 1;
    const padded = samples.flatMap(({ ids }) =>
      Array.from({ length: stride }, (_, place) => Math.max(ids[place] ?? 0, 0)),
    );
    return {
      ids: int64([samples.length, stride], padded),
      splice: planSplice(planned, stride, numRows + learned),
    };
  }

  /** Greedy tokens of every sample alone, through the encoder and decoder that answers come from. */
  async generations(samples: readonly Sample[]): Promise<void> {
    const { engine, recorded } = this.context;
    const { language } = this.config;
    const open = (graph: Parameters<typeof engine.open>[0]) => engine.open(graph, this.parameters);
    const contextLength = language.contextLength;
    const encoder = createLlavaEncoder(this.params, this.config, {
      open,
      featureCacheBytes: 0,
      maxPromptTokens: contextLength,
    });
    const decoder = await createDecoder(engine, open, this.params.language, language, {
      contextLength,
    });
    for (const [index, { ids, images }] of samples.entries()) {
      const count = recorded.get(`generate.${index}.ids`)?.shape[0];
      if (count === undefined) continue;
      const media = images.map((views) => ({ kind: "image", views }) as const);
      const { ids: chosen, logits } = await decodeGreedily(encoder, decoder, { ids, media }, count);
      this.tensors.set(`generate.${index}.ids`, int64([count], chosen));
      this.tensors.set(
        `generate.${index}.logits`,
        float32(
          [count, language.vocabularySize],
          logits.flatMap((row) => Array.from(row)),
        ),
      );
    }
  }
}

/** The views of all images as one tensor. */
const joinViews = (images: readonly PixelViews[]): TensorData<"float32"> => {
  const numViews = images.reduce((sum, { pixels }) => sum + pixels.shape[0], 0);
  const sides = images[0]?.pixels.shape.slice(1) ?? [];
  return float32(
    [numViews, ...sides],
    images.flatMap(({ pixels }) => numbersOf(pixels)),
  );
};
