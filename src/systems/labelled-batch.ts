/** Training batches as a forward pass takes them: ids, labels and images of equal padded shape. */
import { PromptError } from "../errors.js";
import type { ImagePlan } from "../image/view-plan.js";
import { int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";

/** Samples of equal padded length. */
export type LabelledBatch = {
  /** Token ids, `imagePlaceholderId` where an image goes, [B][L]. */
  readonly ids: readonly (readonly number[])[];
  /** -100 where not supervised, [B][L]. */
  readonly labels: readonly (readonly number[])[];
  readonly isPadding: readonly (readonly boolean[])[];
  /** Views of each sample's image, [B, V, 3, side, side]; absent when no sample has one. */
  readonly pixels?: TensorData<"float32">;
  /**
   * Plan of each sample's image, [B]. Systems whose images all lie alike do without; views of `pixels`
   * beyond those of the plan are not looked at.
   */
  readonly plans?: readonly ImagePlan[];
};

export type BatchShape = {
  readonly batch: number;
  readonly textLength: number;
  readonly hasImages: boolean;
};

/** Places 0 .. length-1 of every sample, [B, T]. */
export const placesOf = (batch: number, length: number): TensorData<"int64"> =>
  int64(
    [batch, length],
    Array.from({ length: batch * length }, (_, index) => index % length),
  );

/**
 * Labels moved along with their tokens: visual tokens and padding have none. `visualTokens` of each
 * sample's image.
 */
export const spliceLabels = (
  { ids, labels, isPadding }: LabelledBatch,
  visualTokens: readonly number[],
  length: number,
): TensorData<"int64"> => {
  const rows = ids.flatMap((row, sample) => {
    const kept = row.flatMap((id, place) => {
      if (isPadding[sample][place]) return [];
      if (id !== imagePlaceholderId) return [labels[sample][place]];
      return new Array<number>(visualTokens[sample]).fill(-100);
    });
    return [...kept, ...new Array<number>(length - kept.length).fill(-100)];
  });
  return int64([ids.length, length], rows);
};

/** Throws `PromptError` unless a batch has the shape that a pass was made for. */
export const checkBatch = (
  { ids, pixels, plans }: LabelledBatch,
  shape: BatchShape,
  views: number,
): void => {
  const fits =
    ids.length === shape.batch &&
    ids.every((row) => row.length === shape.textLength) &&
    (pixels === undefined) !== shape.hasImages &&
    (pixels === undefined || (pixels.shape[0] === shape.batch && pixels.shape[1] === views)) &&
    (plans === undefined || plans.length === ids.length);
  if (!fits) {
    throw new PromptError(
      `feeds: the batch must be ${shape.batch} samples of ${shape.textLength} places ` +
        `${shape.hasImages ? `with ${views} views each` : "without images"}, got ${ids.length} of ` +
        `${ids[0]?.length} with pixels [${pixels?.shape ?? ""}]; group samples by shape`,
    );
  }
  if (
    ids.some(
      (row) => row.filter((id) => id === imagePlaceholderId).length !== Number(shape.hasImages),
    )
  ) {
    throw new PromptError(
      `feeds: every sample needs ${shape.hasImages ? "exactly one placeholder" : "no placeholder"}; group samples by modality`,
    );
  }
};
