/**
 * Training batches of a dataset: conversations labelled, media loaded, padded to a few static shapes, in an order that
 * follows from a seed and resumes from any place.
 */
import { type BatchOrder, createBatchOrder } from "../data/batch-order.js";
import { type ConversationSample, describePlace } from "../data/conversation-sample.js";
import {
  type BucketOptions,
  bucketOf,
  type LengthBuckets,
  planBuckets,
} from "../data/length-buckets.js";
import { measureSamples } from "../data/measured-samples.js";
import type { ReadReport } from "../data/read-report.js";
import type { SampleReader } from "../data/sample-reader.js";
import {
  DatasetError,
  ImageDecodeError,
  LabelError,
  LimitError,
  RecordError,
  ShapeError,
  TokenizerError,
  VideoDecodeError,
} from "../errors.js";
import type { ImagePlan } from "../image/view-plan.js";
import type { LabelledBatch } from "../systems/batch-forward.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { type LabelledSample, type LabelOptions, labelConversation } from "./labelled-sample.js";
import { ignoredLabel } from "./next-token-loss.js";
import type { BatchSource, JsonValue } from "./trainable.js";

export type ConversationBatchesOptions = {
  readonly reader: SampleReader;
  readonly report: ReadReport;
  readonly labels: LabelOptions;
  /** Fills up rows; the tokenizer's own, or any id: it is never seen. */
  readonly padId: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly buckets?: BucketOptions;
  /** Views of a sample's image; needed where the data have images. */
  readonly loadPixels?: (sample: ConversationSample) => Promise<SampleViews>;
  /** Views of a batch's images, where images have different numbers: the rest are black and not used. */
  readonly numViews?: number;
};

/** An image of a sample as the vision tower reads it. */
export type SampleViews = {
  readonly pixels: TensorData<"float32">; // [V, 3, side, side]
  readonly plan: ImagePlan;
};

/** A batch that says which records its rows are, as `file:line`. */
export type ConversationBatch = LabelledBatch & { readonly sources: readonly string[] };

export type ConversationBatches = BatchSource<ConversationBatch> & {
  readonly buckets: LengthBuckets;
  /** The shapes that batches have. */
  readonly shapes: readonly {
    readonly textLength: number;
    readonly hasImages: boolean;
    /** Most tokens that a batch of this shape judges, in the first epoch. */
    readonly mostJudged: number;
  }[];
  /** Samples that take part, out of all records. */
  readonly numSamples: number;
  /** Batches of an epoch; every batch has `batchSize` rows, some of them masked where samples ran out. */
  readonly batchesPerEpoch: number;
};

type Row = {
  readonly source: string;
  readonly text: LabelledSample;
  readonly views?: SampleViews;
};

/** What makes one sample useless and leaves the others as they are. */
export const isBadSample = (error: unknown): error is Error =>
  [RecordError, LabelError, ImageDecodeError, VideoDecodeError, LimitError, TokenizerError].some(
    (cause) => error instanceof cause,
  );

/** 0 for text, 1 for an image. A batch has images in every row or in none. */
const modalityOf = ({ media }: ConversationSample, canLoad: boolean): number => {
  const [first] = media;
  if (first === undefined) return 0;
  if (media.length === 1 && first.type === "image" && canLoad) return 1;
  throw new RecordError(
    `createConversationBatches: a sample must have ${canLoad ? "at most one image and no video" : "no media, as no loadPixels was given"}, got ${media.map(({ type }) => type).join(", ")}. Leave it out.`,
  );
};

/** Rows of `length` ids. A row that is missing is a copy of the first one without labels, so that it weighs nothing. */
const collate = (
  rows: readonly Row[],
  batchSize: number,
  length: number,
  padId: number,
  numViews: number | undefined,
): ConversationBatch => {
  const filled = Array.from({ length: batchSize }, (_, at) => rows[at] ?? rows[0]);
  const pad = <T>(values: readonly T[], padding: T): T[] => [
    ...values,
    ...new Array<T>(length - values.length).fill(padding),
  ];
  const texts = filled.map(({ text }) => text);
  const batch = {
    sources: rows.map(({ source }) => source),
    ids: texts.map(({ ids }) => pad(ids, padId)),
    labels: texts.map(({ labels }, at) => pad(at < rows.length ? labels : [], ignoredLabel)),
    isPadding: texts.map(({ ids }) => pad(new Array<boolean>(ids.length).fill(false), true)),
  };
  const images = filled.flatMap(({ views }) => (views === undefined ? [] : [views]));
  return images.length < filled.length
    ? batch
    : { ...batch, pixels: joinViews(images, numViews), plans: images.map(({ plan }) => plan) };
};

/** Views of all samples, [B, V, 3, side, side]. */
const joinViews = (
  images: readonly SampleViews[],
  mostViews: number | undefined,
): TensorData<"float32"> => {
  const [ownViews, ...sides] = images[0].pixels.shape;
  const numViews = mostViews ?? ownViews;
  const other = images.find(({ pixels: { shape } }) => {
    const fits = mostViews === undefined ? shape[0] === ownViews : shape[0] <= mostViews;
    return !fits || shape.slice(1).join() !== sides.join();
  });
  if (other)
    throw new ShapeError(
      `createConversationBatches: loadPixels must give views of one shape, got [${images[0].pixels.shape}] and [${other.pixels.shape}]. Use an image mode with a fixed number of views.`,
    );
  const perImage = numViews * elementCount(sides);
  const data = new Float32Array(images.length * perImage);
  for (const [at, { pixels }] of images.entries()) data.set(pixels.data, at * perImage);
  return float32([images.length, numViews, ...sides], data);
};

/**
 * Measures all samples, chooses buckets and makes the endless source of batches. A sample whose image turns out to be
 * unreadable is reported when it is met, and its row is masked; so a resumed run meets the same batches.
 *
 * @throws DatasetError where too many records are bad or a whole epoch is; OptionsError for a batch size or seed that is none.
 */
export const createConversationBatches = async ({
  reader,
  report,
  labels,
  padId,
  batchSize,
  seed,
  buckets: bucketOptions,
  loadPixels,
  numViews,
}: ConversationBatchesOptions): Promise<ConversationBatches> => {
  const numJudged = new Int32Array(reader.length);
  const measured = await measureSamples(
    reader,
    report,
    (sample, index) => {
      const group = modalityOf(sample, loadPixels !== undefined);
      const labelled = labelConversation(sample, labels);
      numJudged[index] = labelled.labels.slice(1).filter((label) => label >= 0).length;
      return { group, length: labelled.ids.length };
    },
    isBadSample,
  );
  const numSamples = measured.groups.reduce((count, group) => count + (group < 0 ? 0 : 1), 0);
  if (numSamples === 0)
    throw new DatasetError(
      `createConversationBatches: a dataset must have a sample that can be used, got none of ${reader.length} records. The first: ${report.badRecords[0]?.message ?? "there is none"}`,
    );
  const buckets = planBuckets(measured.lengths, bucketOptions);
  const numBuckets = buckets.lengths.length;
  const groups = measured.groups.map((modality, at) =>
    modality < 0 ? -1 : modality * numBuckets + bucketOf(buckets, measured.lengths[at]),
  );
  const order: BatchOrder = createBatchOrder({
    groups,
    batchSize,
    seed,
    dataFingerprint: reader.fingerprint,
  });

  const prepare = async (index: number): Promise<Row | undefined> => {
    const result = await reader.read(index);
    if ("bad" in result) {
      report.addBad(result.bad);
      return undefined;
    }
    const { sample } = result;
    try {
      const text = labelConversation(sample, labels);
      const views = sample.media.length > 0 ? await loadPixels?.(sample) : undefined;
      report.addGood();
      const source = describePlace(sample.source);
      return { source, text, ...(views && { views }) };
    } catch (error) {
      if (!isBadSample(error)) throw error;
      const { source } = sample;
      report.addBad({ place: source, message: `${describePlace(source)}: ${error.message}` });
      return undefined;
    }
  };

  const mostJudged = new Map<number, number>();
  for (const indices of order.plan.batches) {
    const group = groups[indices[0]];
    const sum = Array.from(indices, (index) => numJudged[index]).reduce((a, b) => a + b, 0);
    mostJudged.set(group, Math.max(sum, mostJudged.get(group) ?? 0));
  }

  return {
    buckets,
    shapes: [...mostJudged]
      .sort(([a], [b]) => a - b)
      .map(([group, most]) => ({
        textLength: buckets.lengths[group % numBuckets],
        hasImages: group >= numBuckets,
        mostJudged: most,
      })),
    numSamples,
    batchesPerEpoch: order.plan.batches.length,
    next: async () => {
      for (let tried = 0; tried < order.plan.batches.length; tried++) {
        const { indices } = order.next();
        const prepared = await Promise.all(Array.from(indices, prepare));
        const rows = prepared.filter((row) => row !== undefined);
        if (rows.length === 0) continue;
        const length = buckets.lengths[groups[indices[0]] % numBuckets];
        return collate(rows, batchSize, length, padId, numViews);
      }
      throw new DatasetError(
        `createConversationBatches: an epoch must have a sample that can be read, got none. The first: ${report.badRecords[0]?.message ?? "none"}`,
      );
    },
    state: (): JsonValue => ({ ...order.state() }),
    restore: (state) => order.restore(state),
  };
};
