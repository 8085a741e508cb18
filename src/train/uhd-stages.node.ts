/** LLaVA-UHD v4 in training: samples of any number of images, packed into rows. */
import { ModelConfigError, RecipeError } from "../errors.js";
import { add, multiply, scalar, type Tensor } from "../graph/index.js";
import { type AdapterOf, listParameters, ParameterScope } from "../nn/parameter-scope.js";
import { llavaUhdParams } from "../systems/llava-uhd.js";
import { type LlavaUhdConfig, mergeLevels } from "../systems/llava-uhd-config.js";
import { totalWeight } from "../systems/packed-batch.js";
import {
  createPackedForward,
  type PackedShape,
  packedShapeOf,
} from "../systems/packed-batch-forward.js";
import {
  type PrintedStrip,
  type PrintLevel,
  printFeeds,
  printReaderName,
  printReaderParams,
  readPrint,
  totalPrintWeight,
  towerPrintFeeds,
  towerPrintReading,
  type ViewPrint,
} from "../systems/print-reading.js";
import { nextTokenLoss } from "./next-token-loss.js";
import type { Objective } from "./objective-trainable.js";
import { createPackedBatches, type PackedBatch } from "./packed-batches.js";
import { learnsPrint, type StageRecipe } from "./recipe-schema.js";
import { createImageLoader } from "./sample-pixels.node.js";
import type { StageFamily } from "./stage-family.js";
import type { StartingModel } from "./starting-model.node.js";

const nothingPrinted: ViewPrint = { patches: new Uint8Array(0), tokens: new Uint8Array(0) };

/** Strips of a batch's images with their print. */
const printedStrips = ({ rows }: PackedBatch): PrintedStrip[] =>
  rows
    .flat()
    .flatMap(({ strips, print }) =>
      strips.map((strip, at) => ({ ...strip, print: print?.[at] ?? nothingPrinted })),
    );

/** The scaffold's parameters beside a model's. */
const readerParams = (scope: ParameterScope, { vision }: LlavaUhdConfig) =>
  printReaderParams(scope, vision);

export type PackedObjectiveOptions = {
  readonly isFed?: (name: string) => boolean;
  readonly adapterOf?: AdapterOf;
  /** What the tower's reading of print counts beside the answers; default 0. */
  readonly printWeight?: number;
};

/** What LLaVA-UHD v4 learns: the answers' tokens, each sample weighted as the stage says. */
export const packedObjective = (
  config: LlavaUhdConfig,
  rowLength: number,
  { isFed, adapterOf, printWeight = 0 }: PackedObjectiveOptions = {},
): Objective<PackedBatch, PackedShape> => {
  const { forward } = createPackedForward(config, isFed, adapterOf);
  const readers = readerParams(new ParameterScope([], isFed), config);
  const declaredReaders = listParameters({
    [printReaderName]: readerParams(new ParameterScope([]), config),
  });
  return {
    declared: new Map([
      ...listParameters(createPackedForward(config, undefined, adapterOf).params),
      ...(printWeight > 0 ? declaredReaders : []),
    ]),
    open: (shape) => {
      const { scores, judged, features, visual, feeds } = forward(shape);
      const answers = nextTokenLoss(scores, judged);
      const numPlaces = shape.batch * shape.length;
      // A resampler's tokens have no place.
      const read: Partial<Record<PrintLevel, Tensor>> = {
        ...(features && { patches: features }),
        ...(visual && config.vision.connector.kind === "merger" && { tokens: visual }),
      };
      // What a reader tells that does not learn is noise.
      const levels = (Object.entries(read) as [PrintLevel, Tensor][]).filter(([level]) =>
        isFed?.(`${printReaderName}.${level}.characters.weight`),
      );
      if (printWeight === 0 || levels.length === 0) return { loss: answers, numPlaces, feeds };
      const print = levels.map(([level, rows]) => {
        const { scores: characters, ...places } = readPrint(readers, level, rows);
        return multiply(nextTokenLoss(characters, places), scalar(printWeight));
      });
      const merged = mergeLevels(config.vision, shape.mode);
      const feedPrint = (batch: PackedBatch) =>
        levels.map(([level]) => printFeeds(printedStrips(batch), level, merged));
      return {
        loss: print.reduce((sum, part) => add(sum, part), answers),
        numPlaces,
        feeds: (batch) => Object.assign({}, feeds(batch), ...feedPrint(batch)),
      };
    },
    countUnits: totalWeight,
    shapeOf: (batch) => packedShapeOf(batch, rowLength, config),
    hasImages: ({ numGroups }) => numGroups > 0,
  };
};

/** What the vision tower learns by itself: the characters at each place of its patches. */
export const printObjective = (
  config: LlavaUhdConfig,
  rowLength: number,
  isFed?: (name: string) => boolean,
): Objective<PackedBatch, PackedShape> => {
  const paramsOf = (scope: ParameterScope) => ({
    ...llavaUhdParams(scope, config),
    [printReaderName]: readerParams(scope, config),
  });
  const { [printReaderName]: readers, vision } = paramsOf(new ParameterScope([], isFed));
  const { tower } = config.vision;
  return {
    declared: listParameters(paramsOf(new ParameterScope([]))),
    open: (shape) => {
      const { scores, ...places } = towerPrintReading({ vision, readers }, tower, shape.numGroups);
      return {
        loss: nextTokenLoss(scores, places),
        numPlaces: shape.batch * shape.length,
        feeds: (batch) => towerPrintFeeds(printedStrips(batch), tower),
      };
    },
    countUnits: (batch) => totalPrintWeight(printedStrips(batch)),
    shapeOf: (batch) => packedShapeOf(batch, rowLength, config),
    hasImages: () => true,
  };
};

/**
 * As many views as fit into the rows of a batch, all of a square's shape: the most that vision computes. And as many
 * judged tokens as places: the most that is read out.
 */
const worstBindings = (
  { data, batchSize, objective }: StageRecipe,
  { vision, slicing }: LlavaUhdConfig,
  mode: PackedShape["mode"],
) => {
  const patches = Math.floor(slicing.viewSidePx / slicing.patchSidePx) ** 2;
  const numTokens = Math.max(1, Math.floor(patches / 4 ** mergeLevels(vision, mode)));
  const perView = vision.connector.kind === "resampler" ? vision.connector.numQueries : numTokens;
  const numViews = Math.max(1, Math.floor((batchSize * data.maxLength) / perView));
  const side = Math.ceil(Math.sqrt(patches));
  return {
    V0: numViews,
    M0: objective === "print" ? patches : numTokens,
    R: patches,
    P: side,
    J: batchSize * data.maxLength,
  };
};

export const uhdStageFamily = (
  config: LlavaUhdConfig,
  { processor, adapterOf }: Pick<StartingModel, "processor" | "adapterOf">,
): StageFamily<PackedBatch, PackedShape> => ({
  createObjective: ({ data, objective, printWeight, name }, trained) => {
    const isFed = (parameter: string) => trained.has(parameter);
    if (objective === "print") return printObjective(config, data.maxLength, isFed);
    if (objective === "next-token")
      return packedObjective(config, data.maxLength, { isFed, adapterOf, printWeight });
    throw new RecipeError(
      `uhdStageFamily: stage "${name}" of a model in slices has the objective next-token or print, got ${objective}; a model with granularities has the others`,
    );
  },
  createBatches: async ({ stage, reader, report, labels, seed }) => {
    if (!("downsampleMode" in processor)) {
      throw new ModelConfigError(
        "uhdStageFamily: the image processor must cut slices, got another; check preprocessor_config.json",
      );
    }
    const { maxLength, maxSlices, downsampleMode, lossWeighting = "token" } = stage.data;
    const batches = await createPackedBatches({
      reader,
      report,
      labels,
      config,
      processor,
      slicing: {
        ...(maxSlices !== undefined && { maxSlices }),
        ...(downsampleMode !== undefined && { downsampleMode }),
      },
      loadImage: createImageLoader(),
      numRows: stage.batchSize,
      rowLength: maxLength,
      weighting: lossWeighting,
      seed,
      locatesPrint: learnsPrint(stage),
    });
    const mode = downsampleMode ?? config.vision.downsampleMode;
    return {
      next: () => batches.next(),
      state: () => batches.state(),
      restore: (state) => batches.restore(state),
      planned: [
        {
          shape: { batch: stage.batchSize, length: maxLength, numGroups: 1, mode },
          bindings: worstBindings(stage, config, mode),
        },
      ],
    };
  },
});
