/** The recorded training step of AVG-LLaVA's router, and the loss of the stage before it. */
import {
  createGraph,
  type Graph,
  grad,
  type ParameterSource,
  type Tensor,
} from "../graph/index.js";
import { clipConfig } from "../image/clip-config.js";
import { planViews } from "../image/image-mode.js";
import type { ImagePlan } from "../image/view-plan.js";
import { listParameters, ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import { avgLlavaNames, avgLlavaParams } from "../systems/avg-llava.js";
import { type AvgLlavaConfig, parseAvgLlavaConfig } from "../systems/avg-llava-config.js";
import type { ImageBatchShape } from "../systems/image-batch-forward.js";
import { imageLayouts, mostViews } from "../systems/image-layouts.js";
import type { LabelledBatch } from "../systems/labelled-batch.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { createObjective, type ObjectiveName } from "../train/stage-objective.js";
import { Trainer } from "../train/train-step.js";
import { createRenameTable } from "../weights/rename.js";
import { assembledLabels } from "./assembled-labels.js";
import { produceRankingVectors, rankingVectorInputs } from "./ranking-vectors.js";
import { numbersOf, type Produced, type Recorded, rowsOf, type VerifyContext } from "./recorded.js";
import { VerificationRun } from "./verification-run.js";

/** Whether a folder records the training of a router. */
export const recordsRouterTraining = (recorded: Recorded): boolean => recorded.has("nll");

/** The first AdamW step moves every entry by the rate: of a gradient near 0, rounding decides the sign. */
const rate = 1e-3;
const smallestGradient = 1e-6;
const stepTolerance = 2e-5;

/** Runs a recorded training batch: losses, gradients of both stages, and the router after one step. */
export const produceRouterTraining = async (context: VerifyContext): Promise<Produced> => {
  const run = new RouterTraining(context);
  for (const [name, tensor] of await produceRankingVectors(context)) run.tensors.set(name, tensor);
  await run.filteredText();
  await run.ranking();
  await run.everyGranularity();
  const { tensors, further, masks, tolerances } = run;
  const inputs = new Set([...run.inputs, ...rankingVectorInputs(context.recorded)]);
  return { tensors, inputs, further, masks, tolerances };
};

class RouterTraining extends VerificationRun {
  readonly further = new Map<string, TensorData>();
  readonly tolerances = new Map<string, number>();
  private readonly config: AvgLlavaConfig;
  private readonly parameters: ParameterSource;
  private readonly declared: ReadonlyMap<string, Tensor>;
  private readonly names: ReturnType<typeof createRenameTable>;
  private readonly batch: LabelledBatch & { readonly plans: readonly ImagePlan[] };

  constructor(context: VerifyContext) {
    super(context);
    this.config = parseAvgLlavaConfig(context.config, context.towerConfig);
    const params = avgLlavaParams(new ParameterScope(), this.config);
    this.declared = listParameters(params);
    this.names = createRenameTable(avgLlavaNames(this.config));
    this.parameters = context.locate(params, avgLlavaNames(this.config));
    this.batch = this.readBatch();
  }

  private readBatch() {
    const ids = rowsOf(this.take("input_ids"));
    const isPadding = rowsOf(this.take("attention_mask")).map((row) =>
      row.map((value) => value === 0),
    );
    const { imageMode, vision } = this.config;
    const side = vision.imageSizePx;
    const views = mostViews(this.config);
    const perImage = views * 3 * side * side;
    const pixels = new Float32Array(ids.length * perImage);
    const plans = ids.map((_, sample) => {
      const [width, height] = numbersOf(this.take(`sample.${sample}.image_size_wh`));
      pixels.set(
        this.take(`sample.${sample}.pixel_values`).data as Float32Array,
        sample * perImage,
      );
      return planViews({ width, height }, clipConfig(side), imageMode);
    });
    return {
      ids,
      labels: rowsOf(this.take("labels")),
      isPadding,
      pixels: float32([ids.length, views, 3, side, side], pixels),
      plans,
    };
  }

  /** The batch's shape; readings are as long as the longest sample, as the reference pads them. */
  private get shape(): ImageBatchShape {
    const { ids, isPadding, plans } = this.batch;
    const lengths = imageLayouts(this.config).map(({ rowsOf: layOut }) =>
      Math.max(
        ...plans.map(
          (plan, sample) =>
            isPadding[sample].filter((padded) => !padded).length - 1 + layOut(plan).length,
        ),
      ),
    );
    return { batch: ids.length, textLength: ids[0].length, hasImages: true, lengths };
  }

  /** Values of parameters, by way of a graph that gives them out. */
  private async read(names: readonly string[]): Promise<Map<string, TensorData<"float32">>> {
    const outputs = Object.fromEntries(
      names.map((name, index) => [`value.${index}`, this.declared.get(name) as Tensor]),
    );
    const results = await this.runOnce(createGraph("verify.values", outputs), {});
    return new Map(
      names.map((name, index) => [name, results[`value.${index}`] as TensorData<"float32">]),
    );
  }

  private async runOnce(
    graph: Graph,
    feeds: Record<string, TensorData>,
  ): Promise<Record<string, TensorData>> {
    const session = await this.context.engine.open(graph, this.parameters);
    try {
      return await session.run(
        Object.fromEntries(Object.entries(feeds).filter(([name]) => graph.inputs.has(name))),
      );
    } finally {
      await session.close();
    }
  }

  /** Which text the router may read, and what it chooses of it. */
  async filteredText(): Promise<void> {
    const { ids, labels, isPadding } = this.batch;
    const mayRead = ids.map((row, sample) => [
      ...row.flatMap((id, place) =>
        id === imagePlaceholderId
          ? []
          : [labels[sample][place] === -100 && !isPadding[sample][place]],
      ),
      false, // the reference closes the row where the placeholder was taken out
    ]);
    const [batch, length] = [ids.length, mayRead[0].length];
    this.tensors.set("text_mask", {
      dtype: "bool",
      shape: [batch, length],
      data: Uint8Array.from(mayRead.flat(), Number),
    });
    const taps = Taps.create();
    const { feeds } = createObjective(this.config, {
      objective: "granularity-ranking",
      taps,
    }).open(this.shape);
    const filtered = taps.tensors.get("text.filtered") as Tensor;
    const results = await this.runOnce(
      createGraph("verify.filtered", { filtered }),
      feeds(this.batch),
    );
    this.tensors.set("router.text_filtered", results.filtered);
  }

  /** Stage 4: the model's own losses, the ranking, the router's gradients and one step. */
  async ranking(): Promise<void> {
    const published = await this.context.readFile("router_grads.safetensors");
    const trained = this.internalNames(published);
    const pass = createObjective(this.config, {
      objective: "granularity-ranking",
      isFed: (name) => trained.includes(name),
    }).open(this.shape);
    const feeds = pass.feeds(this.batch);
    const { logits, losses, rank, crossEntropy } = pass.parts;
    const values = await this.read(trained);
    const gradients = this.gradientsOf(pass.loss, trained);
    const results = await this.runOnce(
      createGraph("verify.ranking", {
        nll: losses,
        "router.logits": logits,
        "loss.rank": rank,
        "loss.ce": crossEntropy,
        "loss.total": pass.loss,
        ...gradients,
      }),
      { ...feeds, ...Object.fromEntries(values) },
    );
    for (const name of ["nll", "router.logits", "loss.rank", "loss.ce", "loss.total"]) {
      this.tensors.set(name, results[name]);
    }
    this.sort(results.nll, results["router.logits"]);
    const coarsest = this.config.granularities[0].tokens;
    const { shape } = feeds[`tokenMask.${coarsest}`];
    this.tensors.set(`labels_assembled.${coarsest}`, assembledLabels(feeds, shape, `.${coarsest}`));
    if (published === undefined) return;
    this.record("router_grads.safetensors", published, results);
    await this.step(pass.loss, feeds, values, published);
  }

  private internalNames(published: Recorded | undefined): string[] {
    return [...(published?.keys() ?? [])].map((name) => this.names.toInternal(name) ?? name);
  }

  private gradientsOf(loss: Tensor, names: readonly string[]): Record<string, Tensor> {
    const { inputs } = createGraph("verify.loss", { loss });
    const gradients = grad(
      loss,
      names.map((name) => inputs.get(name) as Tensor),
    );
    return Object.fromEntries(
      gradients.flatMap((gradient, index) =>
        gradient ? [[`grad.${names[index]}`, gradient]] : [],
      ),
    );
  }

  /** Takes up what another file records, and what was made of it (`grad.name` of a result). */
  private record(
    file: string,
    published: Recorded,
    results: Readonly<Record<string, TensorData>>,
  ): void {
    for (const [name, tensor] of published) {
      const own = results[`grad.${this.names.toInternal(name) ?? name}`];
      this.further.set(`${file}/${name}`, tensor);
      if (own !== undefined) this.tensors.set(`${file}/${name}`, own);
    }
  }

  /** Losses and logits of each sample in ascending order of loss. */
  private sort(losses: TensorData, logits: TensorData): void {
    const rows = rowsOf(losses);
    const scores = rowsOf(logits);
    const orders = rows.map((row) => row.map((_, index) => index).sort((a, b) => row[a] - row[b]));
    this.tensors.set("nll_order", int64(losses.shape, orders.flat()));
    const gather = (values: readonly number[][]) =>
      float32(
        losses.shape,
        orders.flatMap((order, sample) => order.map((index) => values[sample][index])),
      );
    this.tensors.set("nll_sorted", gather(rows));
    this.tensors.set("router.logits_sorted", gather(scores));
  }

  /** The router after one AdamW step. */
  private async step(
    loss: Tensor,
    feeds: Record<string, TensorData>,
    state: ReadonlyMap<string, TensorData<"float32">>,
    gradients: Recorded,
  ): Promise<void> {
    const file = "router_step1.safetensors";
    const published = await this.context.readFile(file);
    if (published === undefined) return;
    const trainer = await Trainer.create(
      this.context.engine,
      { groups: [{ name: "router", parameters: [...state.keys()] }] },
      { state, frozen: this.parameters },
    );
    const step = await trainer.openStep(loss);
    await step.run(feeds, { router: rate });
    const after = await trainer.state();
    await step.close();
    await trainer.close();
    for (const [name, tensor] of published) {
      const key = `${file}/${name}`;
      const own = after.get(this.names.toInternal(name) ?? name);
      this.further.set(key, tensor);
      if (own !== undefined) this.tensors.set(key, own);
      const gradient = numbersOf(gradients.get(name) as TensorData);
      const third = gradient.length / 3;
      // Keys move all scores of a query alike: their bias has no gradient but rounding.
      const isKeyBias = (index: number): boolean =>
        name.endsWith("in_proj_bias") && index >= third && index < 2 * third;
      const mask = gradient.map(
        (value, index) => Math.abs(value) > smallestGradient && !isKeyBias(index),
      );
      const largest = Math.max(
        ...numbersOf(tensor).map((value, index) => (mask[index] ? Math.abs(value) : 0)),
      );
      this.masks.set(key, mask);
      this.tolerances.set(key, stepTolerance / (largest || 1));
    }
  }

  /** Stage 3: the mean loss over granularities and its gradients; the tower's are not recorded. */
  async everyGranularity(): Promise<void> {
    const file = "stage3_grads.safetensors";
    const published = await this.context.readFile(file);
    const trained = this.internalNames(published);
    const objective: ObjectiveName = "every-granularity";
    const pass = createObjective(this.config, {
      objective,
      isFed: (name) => trained.includes(name),
    }).open(this.shape);
    const results = await this.runOnce(
      createGraph("verify.every-granularity", {
        ...pass.parts,
        loss: pass.loss,
        ...this.gradientsOf(pass.loss, trained),
      }),
      { ...pass.feeds(this.batch), ...Object.fromEntries(await this.read(trained)) },
    );
    const means = this.config.granularities.map((_, index) => results[`mean.${index}`]);
    this.tensors.set("stage3.loss", results.loss);
    this.tensors.set(
      "stage3.loss_per_granularity",
      float32([means.length], means.flatMap(numbersOf)),
    );
    if (published !== undefined) this.record(file, published, results);
  }
}
