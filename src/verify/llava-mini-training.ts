/** Recorded training of LLaVA-Mini: one batch's forward pass and gradients, and three AdamW steps on it. */
import {
  createGraph,
  grad,
  type ParameterSource,
  reshape,
  scatterRows,
  type Tensor,
} from "../graph/index.js";
import { listParameters, ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import { type BatchPass, createBatchForward } from "../systems/batch-forward.js";
import type { LabelledBatch } from "../systems/labelled-batch.js";
import { llavaMiniNames, llavaMiniParams } from "../systems/llava-mini.js";
import { type LlavaMiniConfig, parseLlavaMiniConfig } from "../systems/llava-mini-config.js";
import { float32, type TensorData } from "../tensor-data.js";
import { nextTokenLoss } from "../train/next-token-loss.js";
import { Trainer } from "../train/train-step.js";
import { createRenameTable } from "../weights/rename.js";
import { assembledLabels } from "./assembled-labels.js";
import { numbersOf, type Produced, type Recorded, rowsOf, type VerifyContext } from "./recorded.js";
import { VerificationRun } from "./verification-run.js";

/** Whether a folder records training: labels, and losses before and after steps. */
export const recordsTraining = (recorded: Recorded): boolean =>
  recorded.has("labels") && recorded.has("loss");

const learningRate = 1e-3;
/** Loss and gradient norm are sums over everything: they agree more closely than single elements. */
const lossTolerance = 2e-5;
/**
 * The update of a step is nearly the gradient's sign: entries with a smaller gradient turn rounding
 * into whole steps, and only those with a larger one can be compared one by one.
 */
const smallestGradient = 1e-5;
const stepTolerance = 1e-4;

type Values = ReadonlyMap<string, TensorData<"float32">>;

/** Runs a folder that records training. */
export const produceMiniTraining = async (context: VerifyContext): Promise<Produced> => {
  const run = new MiniTraining(context);
  const gradients = await context.readFile("grads.safetensors");
  if (gradients !== undefined) await run.train(gradients);
  const { tensors, inputs, further, masks, tolerances } = run;
  return { tensors, inputs, further, masks, tolerances };
};

class MiniTraining extends VerificationRun {
  readonly further = new Map<string, TensorData>();
  readonly tolerances = new Map<string, number>();
  private readonly config: LlavaMiniConfig;
  private readonly names: ReturnType<typeof createRenameTable>;
  private readonly declared: ReadonlyMap<string, Tensor>;
  private readonly parameters: ParameterSource;
  private readonly batch: LabelledBatch;

  constructor(context: VerifyContext) {
    super(context);
    this.config = parseLlavaMiniConfig(context.config, context.towerConfig);
    const params = llavaMiniParams(new ParameterScope(), this.config);
    this.declared = listParameters(params);
    this.names = createRenameTable(llavaMiniNames(this.config));
    this.parameters = context.locate(params, llavaMiniNames(this.config));
    this.batch = {
      ids: rowsOf(this.take("input_ids")),
      labels: rowsOf(this.take("labels")),
      isPadding: rowsOf(this.take("attention_mask")).map((row) => row.map((kept) => kept === 0)),
      pixels: this.take("pixel_values") as TensorData<"float32">,
    };
  }

  /** The forward pass with everything recorded of it, then the steps. */
  async train(published: Recorded): Promise<void> {
    const trained = [...published.keys()].map((name) => this.names.toInternal(name) ?? name);
    const taps = Taps.create();
    const { ids, isPadding } = this.batch;
    const pass = createBatchForward(this.config, {
      isFed: (name) => trained.includes(name),
      taps,
    }).forward({ batch: ids.length, textLength: ids[0].length, hasImages: true });
    const feeds = pass.feeds(this.batch);
    const loss = nextTokenLoss(pass.scores, pass.judged);
    const state = await this.read(trained);

    const { inputs } = createGraph("verify.loss", { loss });
    const gradients = grad(
      loss,
      trained.map((name) => inputs.get(name) as Tensor),
    );
    const outputs = {
      logits: this.everyPlace(pass),
      "llm.inputs_embeds": taps.tensors.get("embeddings") as Tensor,
      "fused.text": taps.tensors.get("prefusion.text") as Tensor,
      ...Object.fromEntries(
        gradients.flatMap((gradient, at) => (gradient ? [[`grad.${trained[at]}`, gradient]] : [])),
      ),
    };
    const session = await this.context.engine.open(
      createGraph("verify.training", outputs),
      this.parameters,
    );
    const results = await session.run({ ...feeds, ...Object.fromEntries(state) });
    await session.close();

    for (const name of ["logits", "llm.inputs_embeds", "fused.text"]) {
      this.tensors.set(name, results[name]);
    }
    const isToken = numbersOf(feeds.tokenMask).map((kept) => kept === 1);
    const judged = new Set(numbersOf(feeds["judged.places"]));
    this.masks.set(
      "logits",
      isToken.map((_, place) => judged.has(place)),
    );
    this.masks.set("llm.inputs_embeds", isToken);
    this.masks.set(
      "fused.text",
      isPadding.flat().map((padded) => !padded),
    );
    this.tensors.set("llm.attention_mask", feeds.tokenMask);
    this.tensors.set("prefusion.key_mask", feeds.keyMask);
    this.tensors.set("prefusion.position_ids", feeds.fusionPositions);
    this.tensors.set("labels_assembled", assembledLabels(feeds, feeds.tokenMask.shape));
    for (const [name, tensor] of published) {
      const own = results[`grad.${this.names.toInternal(name) ?? name}`];
      this.further.set(`grads.safetensors/${name}`, tensor);
      if (own !== undefined) this.tensors.set(`grads.safetensors/${name}`, own);
      const mask = numbersOf(tensor).map((_, index, all) => !isKeyBias(name, index, all.length));
      this.masks.set(`grads.safetensors/${name}`, mask);
    }
    await this.steps(loss, feeds, state, published);
  }

  /** Scores at their places, zeros where none are computed. */
  private everyPlace({ scores, judged, numPlaces }: BatchPass): Tensor {
    const [batch] = this.take("input_ids").shape;
    const rows = scatterRows(scores, judged.places, numPlaces);
    return reshape(rows, [batch, numPlaces / batch, this.config.language.vocabularySize]);
  }

  /** Values of parameters, by way of a graph that gives them out. */
  private async read(names: readonly string[]): Promise<Values> {
    const outputs = Object.fromEntries(
      names.map((name, index) => [`value.${index}`, this.declared.get(name) as Tensor]),
    );
    const session = await this.context.engine.open(
      createGraph("verify.values", outputs),
      this.parameters,
    );
    const results = await session.run({});
    await session.close();
    return new Map(
      names.map((name, index) => [name, results[`value.${index}`] as TensorData<"float32">]),
    );
  }

  /** Losses before each of the recorded steps and after the last, and parameters after some. */
  private async steps(
    loss: Tensor,
    feeds: Record<string, TensorData>,
    state: Values,
    gradients: Recorded,
  ): Promise<void> {
    const trainer = await Trainer.create(
      this.context.engine,
      { groups: [{ name: "all", parameters: [...state.keys()] }] },
      { state, frozen: this.parameters },
    );
    const step = await trainer.openStep(loss);
    const numLosses = this.context.recorded.get("loss")?.shape[0] ?? 0;
    const losses: number[] = [];
    for (let taken = 0; taken < numLosses; taken += 1) {
      await this.compareState(
        `trainable_step${taken}.safetensors`,
        await trainer.state(),
        gradients,
      );
      const results = await step.run(feeds, { all: learningRate });
      losses.push(Number(results.loss.data[0]));
      if (taken === 0) this.tensors.set("grad_global_norm", results.gradientNorm);
    }
    await step.close();
    await trainer.close();
    this.tensors.set("loss", float32([numLosses], losses));
    this.tolerances.set("loss", lossTolerance);
    this.tolerances.set("grad_global_norm", lossTolerance);
  }

  /** Takes up the parameters after a step, where they are recorded. */
  private async compareState(file: string, state: Values, gradients: Recorded): Promise<void> {
    for (const [name, tensor] of (await this.context.readFile(file)) ?? []) {
      const key = `${file}/${name}`;
      const own = state.get(this.names.toInternal(name) ?? name);
      this.further.set(key, tensor);
      if (own !== undefined) this.tensors.set(key, own);
      const values = numbersOf(tensor);
      const mask = numbersOf(gradients.get(name) ?? tensor).map(
        (gradient, index, all) =>
          Math.abs(gradient) > smallestGradient && !isKeyBias(name, index, all.length),
      );
      this.masks.set(key, mask);
      const largest = values.reduce(
        (most, value, index) => (mask[index] ? Math.max(most, Math.abs(value)) : most),
        0,
      );
      this.tolerances.set(key, stepTolerance / (largest || 1));
    }
  }
}

/** Keys move all scores of a query alike: their bias has no gradient but rounding. */
const isKeyBias = (name: string, index: number, length: number): boolean =>
  name.endsWith("in_proj_bias") && index >= length / 3 && index < (2 * length) / 3;
