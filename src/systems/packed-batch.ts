/** Training samples of LLaVA-UHD v4 packed into rows of fixed length, several to a row. */
import { LimitError } from "../errors.js";
import type { DownsampleMode } from "../image/slice-config.js";
import { float32, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import type { PatchStrip } from "../vision/pack-patches.js";
import type { ViewPrint } from "./print-reading.js";

/** One conversation, its media laid out. */
export type PackedSample = {
  /** Token ids, `imagePlaceholderId` where a view goes. */
  readonly ids: readonly number[];
  /** -100 where not supervised. */
  readonly labels: readonly number[];
  /** Views of each image, in the order of the placeholders. */
  readonly strips: readonly PatchStrip[];
  /** What is printed on each image, where that is what is learned. */
  readonly print?: readonly ViewPrint[];
  /** Visual tokens of each view. */
  readonly viewTokens: readonly number[];
};

/** Places that a sample takes in its row. */
export const packedLength = ({ ids, viewTokens }: Omit<PackedSample, "strips">): number =>
  ids.length - viewTokens.length + viewTokens.reduce((sum, count) => sum + count, 0);

/**
 * `token`: every supervised token counts alike. `square-root`: a sample counts as the square root of
 * its answers' length, so that a long answer weighs more than a short one, and not by its length
 * (LLaVA-UHD v4's stage 4).
 */
export type LossWeighting = "token" | "square-root";

/** Rows of samples; no sample of a row sees another. */
export type PackedRows = {
  readonly rows: readonly (readonly PackedSample[])[];
  readonly mode: DownsampleMode;
  readonly weighting: LossWeighting;
};

/** What follows from a batch's samples alone, [B, T] each. */
export type RowTensors = {
  /** Text ids one after the other, 0 for places of views and padding. */
  readonly ids: TensorData<"int64">;
  /** Row of the joint matrix `[text B·T | visual | zero]` for every place. */
  readonly index: TensorData<"int64">;
  readonly positions: TensorData<"int64">;
  /** Which sample of the row a place belongs to; padding is one of its own. */
  readonly segments: TensorData<"int64">;
  readonly labels: TensorData<"int64">;
  readonly weights: TensorData<"float32">;
};

const isSupervised = (label: number): boolean => label >= 0;

/** Weight of each supervised token of a sample; the first label of a sample is judged by nothing. */
export const tokenWeight = ({ labels }: PackedSample, weighting: LossWeighting): number => {
  const count = labels.slice(1).filter(isSupervised).length;
  return weighting === "token" || count === 0 ? 1 : 1 / Math.sqrt(count);
};

/** Sum of the weights of all tokens of a batch, which its mean loss is over. */
export const totalWeight = ({ rows, weighting }: PackedRows): number =>
  rows.flat().reduce((sum, sample) => {
    const count = sample.labels.slice(1).filter(isSupervised).length;
    return sum + count * tokenWeight(sample, weighting);
  }, 0);

/**
 * Lays rows out in `length` places. `viewRows`: the visual rows of every view of the batch, in order,
 * out of `numVisualRows`. Throws `LimitError` for a row that is longer.
 */
export const layOutRows = (
  { rows, weighting }: PackedRows,
  length: number,
  viewRows: readonly (readonly number[])[],
  numVisualRows: number,
): RowTensors => {
  const batch = rows.length;
  const firstVisual = batch * length;
  const zeroRow = firstVisual + numVisualRows;
  const shape = [batch, length];
  const count = batch * length;
  const ids = new BigInt64Array(count);
  const index = new BigInt64Array(count).fill(BigInt(zeroRow));
  const positions = new BigInt64Array(count);
  const segments = new BigInt64Array(count);
  const labels = new BigInt64Array(count).fill(-100n);
  const weights = new Float32Array(count);
  let view = 0;
  rows.forEach((samples, row) => {
    const start = row * length;
    let place = 0;
    let textPlace = 0;
    const put = (from: number, segment: number, position: number): number => {
      if (place === length) {
        throw new LimitError(
          `layOutRows: the samples of a row must fit into ${length} places, got more; pack fewer of them`,
        );
      }
      index[start + place] = BigInt(from);
      segments[start + place] = BigInt(segment);
      positions[start + place] = BigInt(position);
      place += 1;
      return start + place - 1;
    };
    samples.forEach((sample, segment) => {
      const weight = tokenWeight(sample, weighting);
      let position = 0;
      sample.ids.forEach((id, at) => {
        if (id === imagePlaceholderId) {
          for (const visual of viewRows[view]) put(firstVisual + visual, segment, position++);
          view += 1;
          return;
        }
        ids[start + textPlace] = BigInt(id);
        const target = put(start + textPlace, segment, position++);
        textPlace += 1;
        const label = sample.labels[at];
        labels[target] = BigInt(label);
        if (isSupervised(label) && at > 0) weights[target] = weight;
      });
    });
    // Padding sees itself alone, so that no soft-max is empty.
    segments.fill(BigInt(samples.length), start + place, start + length);
  });
  const whole = (data: BigInt64Array): TensorData<"int64"> => ({ dtype: "int64", shape, data });
  return {
    ids: whole(ids),
    index: whole(index),
    positions: whole(positions),
    segments: whole(segments),
    labels: whole(labels),
    weights: float32(shape, weights),
  };
};
