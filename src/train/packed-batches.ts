/**
 * Training batches of LLaVA-UHD v4: conversations with any number of images, cut into views, several of them packed into
 * each row. Which samples meet in a row follows from a seed, and a written place continues it exactly.
 */
import { type BatchOrder, createBatchOrder } from "../data/batch-order.js";
import {
  type ConversationSample,
  describePlace,
  type MediaReference,
} from "../data/conversation-sample.js";
import { measureSamples } from "../data/measured-samples.js";
import type { ReadReport } from "../data/read-report.js";
import type { SampleReader } from "../data/sample-reader.js";
import { DatasetError, LabelError, OptionsError, RecordError } from "../errors.js";
import type { RgbImage } from "../image/image.js";
import { type PrintedCharacter, printOfPatches, printOfTokens } from "../image/print-grid.js";
import {
  resolveSlicing,
  type SliceProcessorConfig,
  type SliceRequest,
} from "../image/slice-config.js";
import { planSlices } from "../image/slice-plan.js";
import { packViews } from "../image/slice-processor.js";
import { type LlavaUhdConfig, mergeLevels } from "../systems/llava-uhd-config.js";
import { countUhdTokens } from "../systems/llava-uhd-encoder.js";
import {
  type LossWeighting,
  type PackedRows,
  type PackedSample,
  packedLength,
} from "../systems/packed-batch.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { expandPrompt } from "../text/slice-layout.js";
import { isBadSample } from "./conversation-batches.js";
import { type LabelOptions, labelConversation } from "./labelled-sample.js";
import type { BatchSource, JsonValue } from "./trainable.js";

export type PackedBatchesOptions = {
  readonly reader: SampleReader;
  readonly report: ReadReport;
  /** Media are laid out and counted here: `mediaTokens` and `maxLength` are not looked at. */
  readonly labels: LabelOptions;
  readonly config: LlavaUhdConfig;
  readonly processor: SliceProcessorConfig;
  /** What images are asked to be: slices at most, and how many patches become a token. */
  readonly slicing?: Pick<SliceRequest, "maxSlices" | "downsampleMode">;
  readonly loadImage: (medium: MediaReference) => Promise<RgbImage>;
  /** Rows of a batch, and places of a row; a sample that takes more is refused. */
  readonly numRows: number;
  readonly rowLength: number;
  readonly weighting: LossWeighting;
  readonly seed: number;
  /** Whether the print of images is wanted; a sample whose images do not say where it stands is refused then. */
  readonly locatesPrint?: boolean;
};

/** A batch that says which records its rows are made of, as `file:line`. */
export type PackedBatch = PackedRows & { readonly sources: readonly string[] };

export type PackedBatches = BatchSource<PackedBatch> & {
  /** Samples that take part, out of all records. */
  readonly numSamples: number;
};

/** Samples that wait to be packed: what does not fit into one row may fit into the next. */
const numWaiting = 20;

type Waiting = { readonly index: number; readonly sample: PackedSample; readonly source: string };

const checkMedia = ({ media }: ConversationSample): void => {
  const other = media.find(({ type }) => type !== "image");
  if (other === undefined) return;
  throw new RecordError(
    `createPackedBatches: a sample must have images only, got a ${other.type}. Leave it out, or give its frames as images.`,
  );
};

/** The print of a medium. Throws `RecordError` for one that does not say where it stands. */
const locatePrint = (medium: MediaReference): Promise<readonly PrintedCharacter[]> => {
  if ("locatePrint" in medium && medium.locatePrint !== undefined) return medium.locatePrint();
  throw new RecordError(
    'createPackedBatches: images must say where their print stands for the objective "print", as Scenes do; got one that does not. Use scenes, or another objective.',
  );
};

/** Labels and ids with every image's views in place. Throws as `labelConversation`, and `LabelError` for a sample above `rowLength`. */
const packSample = async (
  conversation: ConversationSample,
  options: PackedBatchesOptions,
): Promise<PackedSample> => {
  const { config, processor, slicing, rowLength } = options;
  const { maxLength: _, ...labels } = options.labels;
  checkMedia(conversation);
  const text = labelConversation(conversation, labels);
  const choice = slicing === undefined ? {} : { slicing };
  const images = await Promise.all(conversation.media.map(options.loadImage));
  const prints = options.locatesPrint
    ? await Promise.all(conversation.media.map(locatePrint))
    : undefined;
  const planned = images.map((image) => {
    const plan = planSlices(image, resolveSlicing(processor, slicing).options);
    return { image, plan, viewTokens: countUhdTokens(plan, config, choice) };
  });
  const mode = slicing?.downsampleMode ?? config.vision.downsampleMode;
  const side = 2 ** mergeLevels(config.vision, mode);
  const { ids, places } = expandPrompt(
    text.ids,
    planned.map(({ plan, viewTokens }) => ({
      type: "image",
      image: { viewTokens, grid: plan.grid },
    })),
    labels.tokenizer,
    { markers: config.markers, usesImageIds: processor.usesImageIds },
  );
  const laidOut = {
    ids,
    labels: places.map((place) => text.labels[place]),
    viewTokens: planned.flatMap(({ viewTokens }) => viewTokens),
  };
  if (packedLength(laidOut) > rowLength) {
    throw new LabelError(
      "too-long",
      `createPackedBatches: a sample must fit into ${rowLength} places, got ${packedLength(laidOut)} with ${ids.filter((id) => id === imagePlaceholderId).length} views. Raise maxLength, ask for fewer slices, or leave it out.`,
    );
  }
  return {
    ...laidOut,
    strips: planned.map(({ image, plan }) => ({
      pixelValues: packViews([{ image, plan }], processor.scaling).pixelValues,
      grids: plan.views.map(({ patches }) => patches),
    })),
    ...(prints && {
      print: planned.map(({ plan }, at) => ({
        patches: printOfPatches(plan, prints[at]),
        tokens: printOfTokens(plan, prints[at], side),
      })),
    }),
  };
};

const parseState = (state: JsonValue): { order: JsonValue; waiting: readonly number[] } => {
  const { order, waiting } = (state ?? {}) as { order?: JsonValue; waiting?: JsonValue };
  if (order !== undefined && Array.isArray(waiting)) {
    return { order, waiting: waiting.map(Number) };
  }
  throw new OptionsError(
    `restore: a place in packed data must hold order and waiting, got ${JSON.stringify(state)}. Pass what state() gave.`,
  );
};

/**
 * Makes the endless source of batches. Rows are filled first-fit from samples in a seeded order, 20 of them waiting at most.
 *
 * @throws DatasetError where too many records are bad or none is left; OptionsError for counts that are none.
 */
export const createPackedBatches = async (
  options: PackedBatchesOptions,
): Promise<PackedBatches> => {
  const { reader, report, numRows, rowLength, weighting, seed, config, slicing } = options;
  const { maxLength: _, ...labels } = options.labels;
  // Images are not opened yet: what their views take is met when a sample is packed.
  const { groups } = await measureSamples(
    reader,
    report,
    (sample) => {
      checkMedia(sample);
      return { group: 0, length: labelConversation(sample, labels).ids.length };
    },
    isBadSample,
  );
  const numSamples = groups.reduce((count, group) => count + Number(group >= 0), 0);
  if (numSamples === 0)
    throw new DatasetError(
      `createPackedBatches: a dataset must have a sample that can be used, got none of ${reader.length} records. The first: ${report.badRecords[0]?.message ?? "there is none"}`,
    );
  const order: BatchOrder = createBatchOrder({
    groups: Array.from(groups),
    batchSize: 1,
    seed,
    dataFingerprint: reader.fingerprint,
  });
  let waiting: Waiting[] = [];
  // Where a run is resumed, what waited is prepared again when it is next needed.
  let resumed: readonly number[] = [];

  const prepare = async (index: number): Promise<Waiting | undefined> => {
    const result = await reader.read(index);
    if ("bad" in result) {
      report.addBad(result.bad);
      return undefined;
    }
    const source = describePlace(result.sample.source);
    try {
      const sample = await packSample(result.sample, options);
      report.addGood();
      return { index, sample, source };
    } catch (error) {
      if (!isBadSample(error)) throw error;
      report.addBad({ place: result.sample.source, message: `${source}: ${error.message}` });
      return undefined;
    }
  };

  const fillUp = async (): Promise<void> => {
    const indices = resumed;
    resumed = [];
    for (const index of indices) {
      const prepared = await prepare(index);
      if (prepared !== undefined) waiting.push(prepared);
    }
    // A whole epoch of samples that cannot be packed is no data.
    for (let tried = 0; waiting.length < numWaiting && tried < numSamples + numWaiting; tried++) {
      const prepared = await prepare(order.next().indices[0]);
      if (prepared !== undefined) waiting.push(prepared);
    }
  };

  /** The samples of one row, first-fit; the others go on waiting. */
  const nextRow = async (): Promise<Waiting[]> => {
    const row: Waiting[] = [];
    let left = rowLength;
    for (;;) {
      await fillUp();
      const at = waiting.findIndex(({ sample }) => packedLength(sample) <= left);
      if (at < 0) break;
      const [fitting] = waiting.splice(at, 1);
      row.push(fitting);
      left -= packedLength(fitting.sample);
    }
    if (row.length === 0)
      throw new DatasetError(
        `createPackedBatches: an epoch must have a sample that can be read and fits, got none. The first: ${report.badRecords[0]?.message ?? "none"}`,
      );
    return row;
  };

  return {
    numSamples,
    next: async () => {
      const rows: Waiting[][] = [];
      while (rows.length < numRows) rows.push(await nextRow());
      return {
        rows: rows.map((row) => row.map(({ sample }) => sample)),
        sources: rows.flat().map(({ source }) => source),
        mode: slicing?.downsampleMode ?? config.vision.downsampleMode,
        weighting,
      };
    },
    state: () => ({
      order: { ...order.state() },
      waiting: [...resumed, ...waiting.map(({ index }) => index)],
    }),
    restore: (state) => {
      const place = parseState(state);
      order.restore(place.order);
      waiting = [];
      resumed = place.waiting;
    },
  };
};
