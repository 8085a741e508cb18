/** One recorded pass of a LLaVA-UHD v4 encoder: every intermediate, the loss and its gradients. */
import { WeightsMismatchError } from "../errors.js";
import {
  concat,
  createGraph,
  type Engine,
  grad,
  inMemoryParameters,
  input,
  mean,
  multiply,
  reshape,
  type Tensor,
} from "../graph/index.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { listParameters, ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import { uhdVisionNames, uhdVisionParams, uhdVisualTokens } from "../systems/llava-uhd.js";
import { mergeLevels, type UhdVisionConfig } from "../systems/llava-uhd-config.js";
import { uhdVisionFeeds, uhdVisionInput, visualRows } from "../systems/llava-uhd-input.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import type { PatchStrip } from "../vision/pack-patches.js";
import { createRenameTable } from "../weights/rename.js";
import { invert, type Packing, takeRows, toRecordedOrder, toStrip } from "./llava-uhd-packing.js";

export type UhdRun = {
  readonly config: UhdVisionConfig;
  /** Weights by published name; others may be among them. */
  readonly weights: ReadonlyMap<string, TensorData>;
  readonly strip: PatchStrip;
  readonly mode: DownsampleMode;
  /** The loss is the mean of the visual tokens times this, in recorded order. */
  readonly lossWeights?: TensorData;
};

export type UhdRunResult = {
  /** Intermediates in recorded order, by the names of taps. */
  readonly tensors: ReadonlyMap<string, TensorData>;
  readonly tokensPerView: TensorData;
  readonly gridsAfterTower: TensorData;
  readonly loss?: TensorData;
  /** By published name. */
  readonly gradients: ReadonlyMap<string, TensorData>;
  /** Of the strip of patches. */
  readonly pixelGradient?: TensorData;
};

/** Mergings that have been done where a tap is recorded. */
const mergingsAt = (tap: string, { compressor }: UhdVisionConfig, mode: DownsampleMode): number => {
  if (compressor === undefined || mode === "4x") return 0;
  const layer = /^layers\.(\d+)\./.exec(tap)?.[1];
  if (layer !== undefined) return Number(layer) > compressor.afterLayer ? 1 : 0;
  return /^(patches|embeddings|compressor\.mixed)$/.test(tap) ? 0 : 1;
};

/** Values of a config's parameters, by our names. Throws `WeightsMismatchError` for a missing one. */
const ownWeights = (
  params: ReturnType<typeof uhdVisionParams>,
  config: UhdVisionConfig,
  weights: ReadonlyMap<string, TensorData>,
) => {
  const names = createRenameTable(uhdVisionNames(config));
  const published = new Map<string, string>();
  const values = new Map<string, TensorData>();
  for (const name of listParameters(params).keys()) {
    const publishedName = names.toPublished(name) ?? name;
    const value = weights.get(publishedName);
    if (value === undefined) {
      throw new WeightsMismatchError(
        `verify: the weights must hold "${publishedName}", got none of that name; record the folder again`,
        [publishedName],
        [],
        [],
      );
    }
    published.set(name, publishedName);
    values.set(name, value);
  }
  return { published, values };
};

/** Runs one pass; graphs are opened and closed. */
export const runUhd = async (engine: Engine, run: UhdRun): Promise<UhdRunResult> => {
  const { config, strip, mode, lossWeights } = run;
  const levels = mergeLevels(config, mode);
  const params = uhdVisionParams(new ParameterScope(), config);
  const { published, values } = ownWeights(params, config, run.weights);
  const { feeds, layout } = uhdVisionFeeds([strip], config, mode);
  const declared = uhdVisionInput(config, layout.groups, mode);
  const packing: Packing = { grids: strip.grids, layout, mergeLevels: levels };
  const tokenRows = visualRows(layout, config).flat();
  const taps = Taps.create();
  const { tokens } = uhdVisualTokens(params, declared, config, mode, taps);
  const outputs: Record<string, Tensor> = Object.fromEntries(taps.tensors);
  const leaves = new Map<string, Tensor>();
  const allFeeds: Record<string, TensorData> = { ...feeds };
  if (lossWeights !== undefined) {
    allFeeds.lossWeights = takeRows(lossWeights, invert(tokenRows));
    const loss = mean(multiply(tokens, input("lossWeights", "float32", tokens.shape)), [0, 1]);
    outputs.loss = loss;
    for (const [name, tensor] of listParameters(params)) leaves.set(name, tensor);
    declared.groups.forEach((group, index) => {
      leaves.set(`patches.${index}`, group.patches);
    });
    const gradients = grad(loss, [...leaves.values()]);
    [...leaves.keys()].forEach((name, index) => {
      const gradient = gradients[index];
      if (gradient !== undefined) outputs[`gradient ${name}`] = gradient;
    });
    const patchGradients = declared.groups.map((_, index) => outputs[`gradient patches.${index}`]);
    outputs["gradient patches"] = concat(
      patchGradients.map((part) => reshape(part, [-1, Number(part.shape[3])])),
      0,
    );
  }
  const session = await engine.open(createGraph("verify.uhd", outputs), inMemoryParameters(values));
  const results = await session.run(allFeeds);
  await session.close();

  const recordedOrder = (tensor: TensorData, done: number): TensorData =>
    toRecordedOrder(tensor, packing, done);
  const tensors = new Map(
    [...taps.tensors.keys()].map((tap) => {
      if (tap === "tokens") return [tap, takeRows(results[tap], tokenRows)] as const;
      return [tap, recordedOrder(results[tap], mergingsAt(tap, config, mode))] as const;
    }),
  );
  const gradients = new Map<string, TensorData>();
  for (const [name, publishedName] of published) {
    const gradient = results[`gradient ${name}`];
    if (gradient !== undefined) gradients.set(publishedName, gradient);
  }
  const rows = layout.groups.flatMap((_, index) =>
    Array.from(feeds[`positions.${index}`].data, Number),
  );
  tensors.set("positions", recordedOrder(int64([rows.length], rows), 0));
  const compressed = config.compressor !== undefined && mode === "16x" ? 2 : 1;
  const patchGradient = results["gradient patches"];
  return {
    tensors,
    tokensPerView: int64(
      [layout.views.length],
      visualRows(layout, config).map(({ length }) => length),
    ),
    gridsAfterTower: int64(
      [strip.grids.length, 2],
      strip.grids.flatMap((grid) => [grid.rows / compressed, grid.columns / compressed]),
    ),
    ...(results.loss && { loss: float32([], [Number(results.loss.data[0])]) }),
    gradients,
    ...(patchGradient && {
      pixelGradient: toStrip(recordedOrder(patchGradient, 0), config.tower.patchSizePx),
    }),
  };
};
