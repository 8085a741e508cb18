import { createDecoder } from "../generate/decoder.js";
import type { ParameterSource } from "../graph/index.js";
import { clipConfig } from "../image/clip-config.js";
import { planViews } from "../image/image-mode.js";
import type { ImagePlan } from "../image/view-plan.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { type AvgLlavaParams, avgLlavaNames, avgLlavaParams } from "../systems/avg-llava.js";
import {
  type AvgLlavaConfig,
  fixedAvgLlava,
  parseAvgLlavaConfig,
} from "../systems/avg-llava-config.js";
import { createAvgLlavaEncoder } from "../systems/avg-llava-encoder.js";
import type { EncodedPrompt, Encoder, MediaInput, PixelViews } from "../systems/encoder.js";
import type { TokenChoice, TokenRoute } from "../systems/token-choice.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { produceRouterStages } from "./avg-llava-router.js";
import { produceRouterTraining, recordsRouterTraining } from "./avg-llava-training.js";
import { decodeGreedily } from "./greedy.js";
import { padRight, scorePrompts } from "./prompt-scores.js";
import { numbersOf, type Produced, rowsOf, type VerifyContext } from "./recorded.js";
import { VerificationRun } from "./verification-run.js";

/** Runs recorded AVG-LLaVA folders: every granularity, the router's stages, batches, generation. */
export const produceAvgLlava = async (context: VerifyContext): Promise<Produced> => {
  if (recordsRouterTraining(context.recorded)) return produceRouterTraining(context);
  const config = parseAvgLlavaConfig(context.config, context.towerConfig);
  const params = avgLlavaParams(new ParameterScope(), config);
  const parameters = context.locate(params, avgLlavaNames(config));
  const run = new AvgVerification(context, config, params, parameters);
  await run.cases();
  await run.batch();
  await run.singleViews();
  await run.generations();
  return { tensors: run.tensors, inputs: run.inputs, masks: run.masks };
};

/** A recorded prompt about one image. */
type Case = { readonly ids: readonly number[]; readonly views: PixelViews };

const matrix = (rows: TensorData<"float32">): TensorData<"float32"> =>
  float32(rows.shape.slice(1), rows.data);

class AvgVerification extends VerificationRun {
  private readonly encoders = new Map<string, Encoder>();

  constructor(
    context: VerifyContext,
    private readonly config: AvgLlavaConfig,
    private readonly params: AvgLlavaParams,
    private readonly parameters: ParameterSource,
  ) {
    super(context);
  }

  private caseOf(index: number): Case {
    const [width, height] = numbersOf(this.take(`case.${index}.image_size_wh`));
    const { imageMode, vision } = this.config;
    return {
      ids: numbersOf(this.take(`case.${index}.input_ids`)),
      views: {
        pixels: this.take(`case.${index}.pixel_values`) as TensorData<"float32">,
        plan: planViews({ width, height }, clipConfig(vision.imageSizePx), imageMode),
        key: `case ${index}`,
      },
    };
  }

  /** The encoder of a config, so that images are seen once. */
  private encoderOf(name: string, config: AvgLlavaConfig): Encoder {
    const known = this.encoders.get(name);
    if (known !== undefined) return known;
    const { engine } = this.context;
    const encoder = createAvgLlavaEncoder(this.params, config, {
      open: (graph) => engine.open(graph, this.parameters),
      featureCacheBytes: 2 ** 28,
      maxPromptTokens: config.language.contextLength,
    });
    this.encoders.set(name, encoder);
    return encoder;
  }

  private get encoder(): Encoder {
    return this.encoderOf("released", this.config);
  }

  /** The visual tokens of one image as a prompt takes them, [M, D]. */
  private async assemble(
    encoder: Encoder,
    views: PixelViews,
    choice: TokenChoice,
  ): Promise<TensorData> {
    const media: MediaInput[] = [{ kind: "image", views, choice }];
    return matrix((await encoder.encodePrompt([imagePlaceholderId], media)).embeddings);
  }

  async cases(): Promise<void> {
    const { unpadAspect } = fixedAvgLlava;
    const variant = { ...this.config.variant, unpadAspect };
    const fixed = this.encoderOf("fixed", { ...this.config, variant });
    for (let index = 0; this.has(`case.${index}.input_ids`); index += 1) {
      const { ids, views } = this.caseOf(index);
      const prefix = `case.${index}`;
      const stages = await produceRouterStages(
        this.context,
        { config: this.config, params: this.params, parameters: this.parameters },
        { ids, pixels: views.pixels },
        (name) => this.context.recorded.get(`${prefix}.${name}`),
      );
      for (const [name, tensor] of stages) this.tensors.set(`${prefix}.${name}`, tensor);
      for (const { tokens } of this.config.granularities) {
        const choice = { granularity: tokens };
        const name = `${tokens}`;
        this.tensors.set(
          `${prefix}.assembled.${name}`,
          await this.assemble(this.encoder, views, choice),
        );
        this.tensors.set(
          `${prefix}.assembled_fixed.${name}`,
          await this.assemble(fixed, views, choice),
        );
      }
      const { embeddings, route } = await this.routed(ids, views);
      const choice = this.config.granularities.findIndex(
        ({ tokens }) => tokens === route?.granularity,
      );
      this.tensors.set(`${prefix}.router.selected_index`, int64([1], [choice]));
      this.tensors.set(
        `${prefix}.router.selected_granularity`,
        int64([1], [route?.granularity ?? 0]),
      );
      this.tensors.set(`${prefix}.llm.inputs_embeds`, matrix(embeddings));
      this.tensors.set(`${prefix}.logits`, matrix(await this.scores([embeddings])));
    }
  }

  /** A prompt as the router leaves it. */
  private async routed(
    ids: readonly number[],
    views: PixelViews,
  ): Promise<EncodedPrompt & { route: TokenRoute | undefined }> {
    const encoded = await this.encoder.encodePrompt(ids, [{ kind: "image", views }]);
    return { ...encoded, route: encoded.routes?.[0]?.[0] };
  }

  private scores(prompts: readonly TensorData<"float32">[]): Promise<TensorData<"float32">> {
    const { params, parameters, config } = this;
    return scorePrompts(this.context.engine, params.language, parameters, config.language, prompts);
  }

  /** Two prompts of unequal length; each image gets its own granularity. */
  async batch(): Promise<void> {
    if (!this.has("batch.input_ids")) return;
    const mask = rowsOf(this.take("batch.attention_mask"));
    const prompts = rowsOf(this.take("batch.input_ids")).map((row, sample) =>
      row.filter((_, place) => mask[sample][place] === 1),
    );
    const encoded = [];
    for (const [sample, ids] of prompts.entries()) {
      encoded.push(await this.routed(ids, this.caseOf(1 + sample).views));
    }
    const { joined, mask: isToken } = padRight(encoded.map(({ embeddings }) => embeddings));
    const routes = encoded.map(({ route }) => route);
    const numChoices = this.config.granularities.length;
    this.tensors.set(
      "batch.router.logits",
      float32(
        [routes.length, numChoices],
        routes.flatMap((route) => route?.logits ?? []),
      ),
    );
    this.tensors.set(
      "batch.selected_granularity",
      int64(
        [routes.length],
        routes.map((route) => route?.granularity ?? 0),
      ),
    );
    this.tensors.set("batch.llm.inputs_embeds", joined);
    this.tensors.set("batch.llm.attention_mask", int64(isToken.shape, numbersOf(isToken)));
    this.tensors.set("batch.logits", await this.scores(encoded.map((item) => item.embeddings)));
    this.masks.set(
      "batch.logits",
      numbersOf(isToken).map((value) => value === 1),
    );
  }

  /** An image in one view: a newline ends it where images are tiled as a rule, else nothing does. */
  async singleViews(): Promise<void> {
    if (!this.has("single.pixel_values")) return;
    const pixels = this.take("single.pixel_values") as TensorData<"float32">;
    this.inputs.add("single.input_ids");
    const side = this.config.vision.imageSizePx;
    const plan: ImagePlan = {
      image: { width: side, height: side },
      views: planViews({ width: side, height: side }, clipConfig(side), { aspect: "square" }).views,
      grid: { columns: 0, rows: 0 },
    };
    const views = { pixels, plan, key: "single" };
    const modes = { list: this.config.imageMode, tensor4d: { aspect: "square" } } as const;
    for (const [name, imageMode] of Object.entries(modes)) {
      const encoder = this.encoderOf(name, { ...this.config, imageMode });
      for (const { tokens } of this.config.granularities) {
        const choice = { granularity: tokens };
        this.tensors.set(`single.${name}.${tokens}`, await this.assemble(encoder, views, choice));
      }
    }
  }

  /** Greedy tokens through the encoder and decoder that answers come from, and text without an image. */
  async generations(): Promise<void> {
    const { engine, recorded } = this.context;
    const { language } = this.config;
    if (this.has("textonly.input_ids")) {
      const ids = numbersOf(this.take("textonly.input_ids"));
      const { embeddings } = await this.encoder.encodePrompt(ids, []);
      this.tensors.set("textonly.logits", matrix(await this.scores([embeddings])));
    }
    const names = [...recorded.keys()].filter((name) => /^generate\..*\.ids$/.test(name));
    if (names.length === 0) return;
    const decoder = await createDecoder(
      engine,
      (graph) => engine.open(graph, this.parameters),
      this.params.language,
      language,
      { contextLength: language.contextLength },
    );
    const { ids, views } = this.caseOf(2);
    for (const name of names) {
      const count = recorded.get(name)?.shape[0] ?? 0;
      const forced = /forced_(\d+)/.exec(name)?.[1];
      const choice = forced === undefined ? {} : { granularity: Number(forced) };
      const media: MediaInput[] = [{ kind: "image", views, choice }];
      const { ids: chosen, logits } = await decodeGreedily(
        this.encoder,
        decoder,
        { ids, media },
        count,
      );
      this.tensors.set(name, int64([count], chosen));
      this.tensors.set(
        name.replace(/ids$/, "logits"),
        float32(
          [count, language.vocabularySize],
          logits.flatMap((row) => Array.from(row)),
        ),
      );
    }
  }
}
